// The newest head of the hub's log that this user has verified. A hub that shows a history without it has rewritten its
// log, and is caught by whoever looked before.
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { base64urlText, integer, literal, object, string, type Parser } from '#shared/encoding/shape.ts'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { TreeHead } from '#shared/log/checkpoint.ts'
import { sameBytes } from '#shared/log/hash.ts'
import type { LogIdentity } from '#shared/protocol/admission.ts'
import { claimConfigDir, configDir } from '../client/config-dir.ts'
import type { Context, Place } from '../client/contexts.ts'
import { withLock } from '../client/lock.ts'
import { readOwned, writeOwned } from '../client/owned-files.ts'

export interface SeenHead {
  readonly identity: LogIdentity
  readonly head: TreeHead
}

interface Stored {
  readonly kind: 'SeenHead'
  readonly origin: string
  readonly vkey: string
  readonly size: number
  readonly root: string
}

const MAX_BYTES = 4096
const PATIENCE_MS = 10_000

const parseStored: Parser<Stored> = object({
  kind: literal('SeenHead'),
  origin: string({ max: 256 }),
  vkey: string({ max: 512 }),
  size: integer({ min: 0 }),
  root: base64urlText({ min: 32, max: 32 }),
})

/** What was seen of the log of a context's hub, or undefined. Errors: ZT-490-UNVERIFIABLE. */
export function readSeenHead(context: Context, { env, uid }: Place): SeenHead | undefined {
  const path = join(configDir(env), fileName(context))
  const refuse = (fault: string): ZtError => new ZtError('ZT-490-UNVERIFIABLE', `${path} ${fault}`)
  const bytes = readOwned(path, { uid, maxBytes: MAX_BYTES, readableByOthers: true }, refuse)
  if (bytes === undefined) return undefined
  try {
    const { origin, vkey, size, root } = parseStored(parseStrictJson(bytes, { maxBytes: MAX_BYTES }), '')
    return { identity: { origin, vkey }, head: { size, root: decodeBase64url(root, 'root') } }
  } catch (cause) {
    throw new ZtError('ZT-490-UNVERIFIABLE', `${path} is damaged`, { cause })
  }
}

/**
 * Remembers a head that was verified, unless a larger one is remembered: of several ztctl that verify at once, the
 * slower one must not bring back what the faster one has left behind. Errors: ZT-490-FORK if another ztctl was shown
 * another head of that size, ZT-490-SIGNATURE if it was shown another key, ZT-504-TIMEOUT, and those of readSeenHead().
 */
export async function rememberHead(seen: SeenHead, context: Context, place: TimedPlace): Promise<void> {
  const folder = configDir(place.env)
  claimConfigDir(folder, place.uid)
  const name = fileName(context)
  await withLock({ folder, name, clock: place.clock, patience: PATIENCE_MS }, async () => {
    const held = readSeenHead(context, place)
    if (held === undefined || isNewer(seen, held)) writeOwned(folder, name, formatSeen(seen))
  })
}

export interface TimedPlace extends Place {
  readonly clock: Clock
}

function isNewer({ identity, head }: SeenHead, held: SeenHead): boolean {
  if (identity.vkey !== held.identity.vkey)
    throw new ZtError(
      'ZT-490-SIGNATURE',
      "the hub's log has another key than another ztctl was shown meanwhile",
    )
  if (head.size === held.head.size && !sameBytes(head.root, held.head.root))
    throw new ZtError('ZT-490-FORK', `the hub showed another ztctl another head of size ${head.size}`)
  return head.size > held.head.size
}

function formatSeen({ identity, head }: SeenHead): string {
  const stored: Stored = { kind: 'SeenHead', ...identity, size: head.size, root: encodeBase64url(head.root) }
  return `${JSON.stringify(stored)}\n`
}

// Named after the pin and not after the context's name: another mesh under the same name has another history.
function fileName({ root, hubId }: Context): string {
  return `hub-head-${createHash('sha256').update(`${root} ${hubId}`).digest('hex').slice(0, 16)}.json`
}
