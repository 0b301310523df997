// ztctl node revoke: the node's certificate, connection and renewal end at once.
import { parseNodeName } from '#shared/identity/names.ts'
import { confirm } from '../client/confirm.ts'
import { withMesh } from '../client/live-mesh.ts'
import { reportRevocation } from '../client/revocation.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'

export async function execute(call: Invocation, io: Io): Promise<number> {
  const node = parseNodeName(call.operands[0])
  await confirm(node, call, io)
  const reason = call.flags.one('reason') ?? 'revoked by an operator'
  await withMesh({ call, io }, async ({ current }) => {
    const { ver } = await current.hub('node.revoke', { node, reason })
    reportRevocation(
      { kind: 'Revocation', id: current.nodeId(node), ver, text: `${node} is revoked` },
      call,
      io,
    )
  })
  return 0
}
