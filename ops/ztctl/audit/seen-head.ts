// The newest head of the hub's log that this user has verified. A hub that shows a history without it has rewritten its
// log, and is caught by whoever looked before.
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { base64urlText, integer, literal, object, string, type Parser } from '#shared/encoding/shape.ts'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { TreeHead } from '#shared/log/checkpoint.ts'
import type { LogIdentity } from '#shared/protocol/admission.ts'
import { claimConfigDir, configDir } from '../client/config-dir.ts'
import type { Context, Place } from '../client/contexts.ts'
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

/** Remembers a head that was verified, in the place of the one before. */
export function rememberHead({ identity, head }: SeenHead, context: Context, { env, uid }: Place): void {
  const folder = configDir(env)
  claimConfigDir(folder, uid)
  const stored: Stored = { kind: 'SeenHead', ...identity, size: head.size, root: encodeBase64url(head.root) }
  writeOwned(folder, fileName(context), `${JSON.stringify(stored)}\n`)
}

// Named after the pin and not after the context's name: another mesh under the same name has another history.
function fileName({ root, hubId }: Context): string {
  return `hub-head-${createHash('sha256').update(`${root} ${hubId}`).digest('hex').slice(0, 16)}.json`
}
