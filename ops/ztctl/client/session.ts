// A session: what a login gave, kept in one file of a folder in memory. The file holds the private key of the SVID and
// the seed of the NATS key, so it is read only when nobody else could have read or written it.
import { createPrivateKey } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { base64urlText, integer, literal, object, string, type Parser } from '#shared/encoding/shape.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import type { Identity } from '#shared/identity/identity.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import { thumbprint } from '#shared/jose/keys.ts'
import { nkeyFromSeed, type Nkey } from '#shared/nats/nkeys.ts'
import { credentialFields, type Credentials } from '#shared/protocol/admission.ts'
import { claimedEndOfEncKey } from '#shared/protocol/enc-key.ts'
import { millisField, spiffeIdField } from '#shared/protocol/fields.ts'
import { openBundle, type TrustBundle } from '#shared/x509/bundle.ts'
import { bundleSigner } from '#shared/x509/bundle-history.ts'
import type { Context } from './contexts.ts'
import { readOwned, writeOwned } from './owned-files.ts'

export interface Session {
  readonly identity: Identity
  readonly nats: Nkey
  readonly credentials: Credentials
  /** UTC, milliseconds */
  readonly begun: number
}

interface StoredSession extends Credentials {
  readonly v: 1
  readonly hub: string
  readonly hubId: SpiffeId
  readonly root: string
  readonly id: SpiffeId
  /** base64url PKCS#8 */
  readonly key: string
  /** base64url, 32 bytes */
  readonly seed: string
  readonly begun: number
  readonly notBefore: number
  readonly notAfter: number
}

/** Where sessions are, and whose they are. */
export interface SessionPlace {
  readonly folder: string
  readonly uid: number
}

const MAX_BYTES = 256 * 1024
// Time for a request that has begun; a tenth of the key's time with us where that is short.
const HUB_KEY_MARGIN_MS = 30_000

const parseStored: Parser<StoredSession> = object({
  ...credentialFields,
  v: literal(1),
  hub: string({ max: 512 }),
  hubId: spiffeIdField,
  root: string({ max: 64 }),
  id: spiffeIdField,
  key: base64urlText({ min: 1, max: 512 }),
  seed: base64urlText({ min: 32, max: 32 }),
  begun: millisField,
  notBefore: integer({ min: 0 }),
  notAfter: integer({ min: 0 }),
})

/** The session of a context, fresh or not, or undefined if there is none. Errors: ZT-401-SESSION. */
export function loadSession(context: Context, { folder, uid }: SessionPlace): Session | undefined {
  const path = join(folder, fileName(context))
  const bytes = readOwned(path, { uid, maxBytes: MAX_BYTES }, (fault) =>
    refuse(`session file ${path} ${fault}`),
  )
  if (bytes === undefined) return undefined
  const stored = parse(bytes)
  const same = stored.hub === context.hub && stored.hubId === context.hubId && stored.root === context.root
  if (!same) throw refuse('the session is of another hub than the context')
  return revive(stored)
}

/** Puts a session in the place of the one before. */
export function saveSession(session: Session, context: Context, { folder }: SessionPlace): void {
  const { identity, nats, credentials, begun } = session
  const stored: StoredSession = {
    ...credentials,
    v: 1,
    hub: context.hub,
    hubId: context.hubId,
    root: context.root,
    id: identity.id,
    key: encodeBase64url(identity.key.export({ format: 'der', type: 'pkcs8' })),
    seed: encodeBase64url(nats.seed()),
    begun,
    notBefore: identity.notBefore,
    notAfter: identity.notAfter,
  }
  writeOwned(folder, fileName(context), JSON.stringify(stored))
}

/** Ends a session: the key is gone with the file, which was never on a disk. */
export function eraseSession(context: Context, { folder }: SessionPlace): void {
  rmSync(join(folder, fileName(context)), { force: true })
}

/**
 * UTC milliseconds from which the session is to be renewed: 40 % of its life is left, or the key of the hub that came
 * with it is about to end, which is when the hub's own certificate ends. Errors: those of claimedEndOfEncKey().
 */
export function renewalTime({ identity, credentials }: Session): number {
  const { notBefore, notAfter } = identity
  const hubEnd = claimedEndOfEncKey(credentials.hub_key)
  const margin = Math.min(HUB_KEY_MARGIN_MS, 0.1 * (hubEnd - notBefore))
  return Math.min(notAfter - 0.4 * (notAfter - notBefore), hubEnd - margin)
}

/**
 * The bundle of a session. It was proved from the context's pin when the session was made, over rotations too, and lies
 * beside the private key in a file of ours alone: its signer is believed as what is in that file is. ZT-401-BUNDLE.
 */
export function sessionBundle({ credentials: { bundle } }: Session, now: number): TrustBundle {
  return openBundle(bundle, { pinnedRoot: bundleSigner(bundle) }, now)
}

function fileName(context: Context): string {
  return `session-${context.name}.json`
}

function parse(bytes: Uint8Array): StoredSession {
  try {
    return parseStored(parseStrictJson(bytes, { maxBytes: MAX_BYTES }), '')
  } catch (cause) {
    // Not the cause's message: the file is full of secrets.
    if (isZtError(cause)) throw refuse('the session file is damaged')
    throw cause
  }
}

function revive(stored: StoredSession): Session {
  const {
    v: _v,
    hub: _hub,
    hubId: _hubId,
    root: _root,
    id,
    key,
    seed,
    begun,
    notBefore,
    notAfter,
    ...rest
  } = stored
  const chain = rest.svid.map((text) => decodeBase64url(text, 'svid'))
  const [leaf] = chain
  if (leaf === undefined) throw refuse('the session has no certificate')
  const pkcs8 = Buffer.from(decodeBase64url(key, 'key'))
  const identity: Identity = {
    id,
    chain,
    key: createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }),
    notBefore,
    notAfter,
    thumbprint: thumbprint(leaf),
  }
  pkcs8.fill(0)
  return { identity, nats: nkeyFromSeed('user', decodeBase64url(seed, 'seed')), credentials: rest, begun }
}

function refuse(message: string): ZtError {
  return new ZtError('ZT-401-SESSION', message)
}
