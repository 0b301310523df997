// ztctl whoami: what the session says, without asking anybody.
import { ZtError } from '#shared/errors/error.ts'
import { meshOptions } from '../client/live-mesh.ts'
import { loadSession } from '../client/session.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'
import { printJson, wantsJson } from '../output/print.ts'
import { rfc3339, shortDuration } from '../output/time.ts'

export async function execute(call: Invocation, io: Io): Promise<number> {
  const { context, place } = meshOptions(call, io)
  const session = loadSession(context, place)
  if (session === undefined) throw new ZtError('ZT-401-SESSION', `there is no session with ${context.name}`)
  const { id, notAfter, thumbprint } = session.identity
  const left = notAfter - io.clock.now()
  if (wantsJson(call)) {
    const times = { begun: rfc3339(session.begun), expires: rfc3339(notAfter), expired: left <= 0 }
    printJson(
      { kind: 'Identity', id, context: context.name, hub: context.hub, fingerprint: thumbprint, ...times },
      io,
    )
  } else if (call.flags.has('quiet')) {
    io.stdout.write(`${id}\n`)
  } else {
    const state = left > 0 ? `${shortDuration(left)} left` : 'ended; the next command renews it'
    io.stdout.write(
      `${id}\nmesh         ${context.name} (${context.hub})\nfingerprint  ${thumbprint}\ncertificate  ${state}\n`,
    )
  }
  return 0
}
