// ztctl allow: takes an identity off the deny list.
import { currentContext } from '../client/contexts.ts'
import { withMesh } from '../client/live-mesh.ts'
import { identityOperand, reportRevocation } from '../client/revocation.ts'
import { currentUid } from '../client/user.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'

export async function execute(call: Invocation, io: Io): Promise<number> {
  const [text = ''] = call.operands
  const id = identityOperand(text, currentContext(call, { env: io.env, uid: currentUid() }))
  const { ver } = await withMesh({ call, io }, ({ current }) => current.hub('allow', { id }))
  reportRevocation({ kind: 'Allowance', id, ver, text: `${id} is allowed again` }, call, io)
  return 0
}
