// ztctl logout: the key is gone with the file. What the hub issued ends with its certificate, within minutes.
import { currentContext } from '../client/contexts.ts'
import { openSessionDir } from '../client/session-dir.ts'
import { eraseSession } from '../client/session.ts'
import { currentUid } from '../client/user.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'

export async function execute(call: Invocation, io: Io): Promise<number> {
  const uid = currentUid()
  const context = currentContext(call, { env: io.env, uid })
  eraseSession(context, { folder: openSessionDir({ env: io.env, uid }), uid })
  io.stdout.write(`logged out of ${context.name}\n`)
  return 0
}
