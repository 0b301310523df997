// ztctl revoke: denies any identity of the mesh.
import { confirm } from '../client/confirm.ts'
import { currentContext } from '../client/contexts.ts'
import { withMesh } from '../client/live-mesh.ts'
import { identityOperand, reportRevocation } from '../client/revocation.ts'
import { currentUid } from '../client/user.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'

export async function execute(call: Invocation, io: Io): Promise<number> {
  const [text = ''] = call.operands
  const id = identityOperand(text, currentContext(call, { env: io.env, uid: currentUid() }))
  await confirm(text, call, io)
  const reason = call.flags.one('reason') ?? 'revoked by an operator'
  const { ver } = await withMesh({ call, io }, ({ current }) => current.hub('revoke', { id, reason }))
  reportRevocation({ kind: 'Revocation', id, ver, text: `${id} is revoked` }, call, io)
  return 0
}
