// ztctl revoke: denies any identity of the mesh, or one of its certificates.
import type { DenyTarget, Grounds } from '#shared/protocol/hub-ops.ts'
import { confirm } from '../client/confirm.ts'
import { currentContext } from '../client/contexts.ts'
import { endProcesses, type Ended } from '../client/end-processes.ts'
import { concludeFanOut, sayNotAsked } from '../client/fan-out.ts'
import { withMesh } from '../client/live-mesh.ts'
import {
  denyTarget,
  groundsOf,
  reportEnded,
  reportRevocation,
  type RevocationOutcome,
} from '../client/revocation.ts'
import type { Mesh } from '../client/mesh.ts'
import { currentUid } from '../client/user.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'
import { wantsJson } from '../output/print.ts'
import { warn } from '../output/report-error.ts'

export async function execute(call: Invocation, io: Io): Promise<number> {
  const [text = ''] = call.operands
  const target = denyTarget(text, currentContext(call, { env: io.env, uid: currentUid() }))
  const grounds = groundsOf(call, io)
  await confirm(text, call, io)
  return withMesh({ call, io }, ({ current }) =>
    revokeAndSay({ target, grounds }, { call, io, mesh: current }),
  )
}

interface Wish {
  readonly target: DenyTarget
  readonly grounds: Grounds
}

interface Asked {
  readonly call: Invocation
  readonly io: Io
  readonly mesh: Mesh
}

/** Revokes, says so, and ends what runs if that is asked for too. Errors: those of Mesh.hub() and endProcesses(). */
export async function revokeAndSay({ target, grounds }: Wish, asked: Asked): Promise<number> {
  const { call, io, mesh } = asked
  const { ver, id, live } = await mesh.hub('revoke', { ...target, ...grounds })
  const done = { kind: 'Revocation', id, target, ver, verb: 'is revoked', grounds } as const
  if (live === 0) warn(`no certificate of ${id} is alive: is the name spelled right?`, io)
  if (call.flags.has('kill')) return endAndReport(done, asked)
  reportRevocation(done, call, io)
  return 0
}

// Denied first: nothing new begins while what runs is being ended. Said first too, where what is printed can be said in
// parts: whatever becomes of the rest, nobody may think that the revocation has failed.
async function endAndReport(done: RevocationOutcome, { call, io, mesh }: Asked): Promise<number> {
  const isJson = wantsJson(call)
  if (!isJson) reportRevocation(done, call, io)
  let ended: readonly Ended[] = []
  try {
    const { answers, notAsked } = await endProcesses(done.id, call, mesh)
    ended = answers.flatMap((answer) => (answer.ok ? answer.value : []))
    sayNotAsked(notAsked, io)
    return concludeFanOut(answers, io)
  } catch (error) {
    warn('the revocation is in force, but what runs could not be ended', io)
    throw error
  } finally {
    if (isJson) reportRevocation({ ...done, ended }, call, io)
    else reportEnded(ended, io)
  }
}
