// ztctl allow: lifts a revocation. What was suspect stays suspect.
import { currentContext } from '../client/contexts.ts'
import { withMesh } from '../client/live-mesh.ts'
import { denyTarget, reportRevocation } from '../client/revocation.ts'
import { currentUid } from '../client/user.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'

export async function execute(call: Invocation, io: Io): Promise<number> {
  const [text = ''] = call.operands
  const target = denyTarget(text, currentContext(call, { env: io.env, uid: currentUid() }))
  const { ver, id } = await withMesh({ call, io }, ({ current }) => current.hub('allow', target))
  reportRevocation({ kind: 'Allowance', id, target, ver, verb: 'is allowed again' }, call, io)
  return 0
}
