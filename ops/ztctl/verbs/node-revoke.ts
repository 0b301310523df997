// ztctl node revoke: the node's certificate, connection and renewal end at once.
import { parseNodeName } from '#shared/identity/names.ts'
import { confirm } from '../client/confirm.ts'
import { withMesh } from '../client/live-mesh.ts'
import { groundsOf, reportRevocation } from '../client/revocation.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'

export async function execute(call: Invocation, io: Io): Promise<number> {
  const node = parseNodeName(call.operands[0])
  const grounds = groundsOf(call, io)
  await confirm(node, call, io)
  await withMesh({ call, io }, async ({ current }) => {
    const { ver } = await current.hub('node.revoke', { node, ...grounds })
    const id = current.nodeId(node)
    reportRevocation({ kind: 'Revocation', id, target: { id }, ver, verb: 'is revoked', grounds }, call, io)
  })
  return 0
}
