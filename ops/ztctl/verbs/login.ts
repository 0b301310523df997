// ztctl login: pins the hub if it is new, proves who we are, and keeps the session in memory.
import { readOwned } from '../client/owned-files.ts'
import {
  checkContext,
  currentContext,
  parseContextFile,
  saveContext,
  type Context,
} from '../client/contexts.ts'
import { login } from '../client/login.ts'
import { openSessionDir } from '../client/session-dir.ts'
import { saveSession, sessionBundle, type Session } from '../client/session.ts'
import { currentUid } from '../client/user.ts'
import { rootFingerprint, type TrustBundle } from '#shared/x509/bundle.ts'
import { bundleSigner } from '#shared/x509/bundle-history.ts'
import type { Invocation } from '../grammar/invocation.ts'
import { quoted, usageError } from '../grammar/usage-error.ts'
import type { Io } from '../io.ts'
import { printJson, wantsJson } from '../output/print.ts'
import { rfc3339, shortDuration } from '../output/time.ts'

const MAX_CONTEXT_BYTES = 64 * 1024

export async function execute(call: Invocation, io: Io): Promise<number> {
  const uid = currentUid()
  const place = { folder: openSessionDir({ env: io.env, uid }), uid }
  const asked = newContext(call, uid) ?? currentContext(call, { env: io.env, uid })
  const session = await login({ context: asked, uid, clock: io.clock })
  const context = pinnedNow(asked, sessionBundle(session, io.clock.now()), session)
  // Only a hub that has proved itself becomes a context.
  saveContext(context, { env: io.env, uid })
  saveSession(session, context, place)
  report({ session, context }, call, io)
  return 0
}

// A root that the bundle in force does not have any more is retired: from here on it vouches for nothing.
function pinnedNow(context: Context, { roots }: TrustBundle, { credentials }: Session): Context {
  if (roots.some((root) => rootFingerprint(root) === context.root)) return context
  return { ...context, root: bundleSigner(credentials.bundle) }
}

function newContext(call: Invocation, uid: number): Context | undefined {
  const { flags } = call
  const file = flags.one('context-file')
  const [hub, hubId, root] = [flags.one('hub'), flags.one('hub-id'), flags.one('root-fingerprint')]
  const some = hub ?? hubId ?? root
  if (file !== undefined && some === undefined) return readContextFile(file, call, uid)
  if (some === undefined) return undefined
  if (hub === undefined || hubId === undefined || root === undefined || file !== undefined) {
    throw usageError(
      'a new mesh is not fully described',
      'give --hub, --hub-id and --root-fingerprint, or --context-file',
    )
  }
  const name = flags.one('context')
  return checkContext({ hub, hubId, root, ...(name === undefined ? {} : { name }) }, 'the command line')
}

function readContextFile(path: string, call: Invocation, uid: number): Context {
  const hint = 'the file decides whom you trust: it must be yours, and nobody else may be able to write it'
  const refuse = (fault: string): Error => usageError(`--context-file ${quoted(path)} ${fault}`, hint)
  const options = { uid, maxBytes: MAX_CONTEXT_BYTES, readableByOthers: true }
  const bytes = readOwned(path, options, refuse)
  if (bytes === undefined) throw refuse('does not exist')
  return parseContextFile(bytes, path, call.flags.one('context'))
}

interface Outcome {
  readonly session: Session
  readonly context: Context
}

function report({ session, context }: Outcome, call: Invocation, io: Io): void {
  const { id, notAfter } = session.identity
  if (wantsJson(call)) {
    printJson(
      { kind: 'Session', context: context.name, hub: context.hub, id, expires: rfc3339(notAfter) },
      io,
    )
    return
  }
  const left = shortDuration(notAfter - io.clock.now())
  io.stdout.write(`logged in to ${context.name} as ${id}; the certificate lives ${left} and renews itself\n`)
}
