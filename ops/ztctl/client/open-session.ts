// The session that a verb works with: read, and renewed by the same proof that began it when less than 40 % of its life
// is left or it has ended. After a logout, or before a login, there is none, and nothing here makes one.
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { TrustBundle } from '#shared/x509/bundle.ts'
import type { Context } from './contexts.ts'
import {
  loadSession,
  renewalTime,
  saveSession,
  sessionBundle,
  type Session,
  type SessionPlace,
} from './session.ts'

export interface OpenOptions {
  readonly context: Context
  readonly place: SessionPlace
  readonly clock: Clock
}

const PATIENCE_MS = 20_000

/** A session that is good for at least 40 % of its life. Errors: ZT-401-SESSION, and those of login(). */
export async function openSession(options: OpenOptions): Promise<Session> {
  const session = requireSession(options)
  return isFresh(session, options.clock) ? session : renewSession(session, options)
}

/**
 * Another session in the place of `stale`, made by whoever of several ztctl is first; the others take what it made.
 * Errors: those of login().
 */
export async function renewSession(stale: Session, options: OpenOptions): Promise<Session> {
  const { context, place, clock } = options
  const [{ withLock }, { login }] = await Promise.all([import('./lock.ts'), import('./login.ts')])
  const lock = { folder: place.folder, name: `renew-${context.name}`, clock, patience: PATIENCE_MS }
  return withLock(lock, async () => {
    const current = requireSession(options)
    if (current.identity.thumbprint !== stale.identity.thumbprint && isFresh(current, clock)) return current
    const held = heldBundle(current, clock)
    const fresh = await login({ context, uid: place.uid, clock, ...(held === undefined ? {} : { held }) })
    if (fresh.identity.id !== current.identity.id) {
      throw new ZtError('ZT-401-SESSION', 'the hub now knows you under another name: log in again')
    }
    const kept = { ...fresh, begun: current.begun }
    saveSession(kept, context, place)
    return kept
  })
}

function requireSession({ context, place }: OpenOptions): Session {
  const session = loadSession(context, place)
  if (session !== undefined) return session
  throw new ZtError('ZT-401-SESSION', `there is no session with ${context.name}`)
}

function isFresh(session: Session, clock: Clock): boolean {
  const now = clock.now()
  return now >= session.identity.notBefore && now < renewalTime(session)
}

// The session's own bundle spares a request; one that no longer opens (its root has ended) falls back on the pin.
function heldBundle(session: Session, clock: Clock): TrustBundle | undefined {
  try {
    return sessionBundle(session, clock.now())
  } catch (error) {
    if (error instanceof ZtError) return undefined
    throw error
  }
}
