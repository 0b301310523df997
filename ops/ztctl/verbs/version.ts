// ztctl version
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'
import { printJson, wantsJson } from '../output/print.ts'
import { VERSION } from '../version.ts'

export async function execute(call: Invocation, io: Io): Promise<number> {
  const runtime = process.version
  if (wantsJson(call)) printJson({ kind: 'Version', version: VERSION, node: runtime, protocol: 1 }, io)
  else if (call.flags.has('quiet')) io.stdout.write(`${VERSION}\n`)
  else io.stdout.write(`ztctl ${VERSION} (protocol 1, Node.js ${runtime})\n`)
  return 0
}
