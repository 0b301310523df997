// ztctl node inspect: how a node last proved itself, and what it was issued for it.
import { parseNodeName } from '#shared/identity/names.ts'
import { inspectionJson, inspectionText } from '../attestation/inspection.ts'
import { withMesh } from '../client/live-mesh.ts'
import { fetchQuarantine, quarantinedJson, suspicionOfProof, warnOf } from '../client/quarantine.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'
import { printJson, wantsJson } from '../output/print.ts'

export async function execute(call: Invocation, io: Io): Promise<number> {
  const node = parseNodeName(call.operands[0])
  const [inspection, quarantine] = await withMesh({ call, io }, ({ current }) =>
    Promise.all([current.hub('node.inspect', { node }), fetchQuarantine(current)]),
  )
  const now = io.clock.now()
  // Of a node that is denied now nothing is clean, however long ago it proved itself.
  const suspicion = suspicionOfProof(inspection, quarantine) ?? quarantine.ofNodeAt(inspection.id, now)
  const quarantined = quarantinedJson(suspicion)
  if (wantsJson(call)) printJson({ kind: 'Node', ...inspectionJson(inspection), quarantined }, io)
  else io.stdout.write(inspectionText(inspection, now))
  if (suspicion !== undefined) warnOf(node, suspicion, io)
  return 0
}
