// ztctl ladder usage: the hub's signed count of SVIDs for each root, without which no ceremony retires one.
import { claimOutput } from '../client/ceremony-files.ts'
import { withMesh } from '../client/live-mesh.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'
import { printJson, wantsJson } from '../output/print.ts'
import { renderTable } from '../output/table.ts'

export async function execute(call: Invocation, io: Io): Promise<number> {
  const [path = ''] = call.operands
  const roots = await claimOutput(path).fill(async () => {
    const made = await withMesh({ call, io }, ({ current }) => current.hub('ladder.usage', {}))
    return { bytes: Buffer.from(`${made.statement}\n`), said: made.roots }
  })
  if (wantsJson(call)) {
    printJson({ kind: 'RootUsage', file: path, roots }, io)
    return 0
  }
  const rows = roots.map(({ fingerprint, live }) => [fingerprint, String(live)])
  io.stdout.write(renderTable({ headings: ['ROOT', 'LIVE SVIDS'], rows, showHeadings: true }))
  return 0
}
