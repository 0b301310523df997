// ztctl revoke: denies any identity of the mesh, or one of its certificates.
import { confirm } from '../client/confirm.ts'
import { currentContext } from '../client/contexts.ts'
import { endProcesses } from '../client/end-processes.ts'
import { concludeFanOut } from '../client/fan-out.ts'
import { withMesh } from '../client/live-mesh.ts'
import { denyTarget, groundsOf, reportRevocation } from '../client/revocation.ts'
import { currentUid } from '../client/user.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'

export async function execute(call: Invocation, io: Io): Promise<number> {
  const [text = ''] = call.operands
  const target = denyTarget(text, currentContext(call, { env: io.env, uid: currentUid() }))
  const grounds = groundsOf(call, io)
  await confirm(text, call, io)
  return withMesh({ call, io }, async ({ current }) => {
    const { ver, id } = await current.hub('revoke', { ...target, ...grounds })
    const done = { kind: 'Revocation', id, target, ver, verb: 'is revoked', grounds } as const
    if (!call.flags.has('kill')) {
      reportRevocation(done, call, io)
      return 0
    }
    // Denied first: nothing new begins while what runs is being ended.
    const answers = await endProcesses(id, call, current)
    const ended = answers.flatMap((answer) => (answer.ok ? answer.value : []))
    reportRevocation({ ...done, ended }, call, io)
    return concludeFanOut(answers, io)
  })
}
