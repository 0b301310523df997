// ztctl node inspect: how a node last proved itself, and what it was issued for it.
import { parseNodeName } from '#shared/identity/names.ts'
import { inspectionJson, inspectionText } from '../attestation/inspection.ts'
import { withMesh } from '../client/live-mesh.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'
import { printJson, wantsJson } from '../output/print.ts'

export async function execute(call: Invocation, io: Io): Promise<number> {
  const node = parseNodeName(call.operands[0])
  const inspection = await withMesh({ call, io }, ({ current }) => current.hub('node.inspect', { node }))
  if (wantsJson(call)) printJson({ kind: 'Node', ...inspectionJson(inspection) }, io)
  else io.stdout.write(inspectionText(inspection, io.clock.now()))
  return 0
}
