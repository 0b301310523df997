// "zt-enckey+jws": whose X25519 key this is, said by the owner's SVID. Commands and requests are sealed to it.
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import { literal, object, string, type Parser } from '#shared/encoding/shape.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { HeldIdentity, Identity } from '#shared/identity/identity.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import { bytes32Field, secondsField, spiffeIdField } from './fields.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { openSigned, signStatement, signStatementWith, type SignedContext } from './signed.ts'

export const ENC_KEY_TYP = 'zt-enckey+jws'

/** A key that its owner's SVID has vouched for. */
export interface EncKey {
  readonly owner: SpiffeId
  readonly kid: string
  /** 32 raw bytes */
  readonly publicKey: Uint8Array
  /** UTC, milliseconds: nothing is sealed to it from then on */
  readonly expires: number
}

interface EncKeyBody {
  readonly v: 1
  readonly iss: SpiffeId
  readonly kid: string
  readonly x25519: string
  readonly iat: number
  readonly exp: number
}

const MAX_BYTES = 8 * 1024

const parseBody: Parser<EncKeyBody> = object({
  v: literal(1),
  iss: spiffeIdField,
  kid: string({ max: 22, pattern: /^[A-Za-z0-9_-]{22}$/ }),
  x25519: bytes32Field,
  iat: secondsField,
  exp: secondsField,
})

/** The id of a key is the start of its own digest, so one id never names two keys. */
export function encKeyId(publicKey: Uint8Array): string {
  return sha256Text(publicKey).slice(0, 22)
}

/** Vouches for `publicKey` until the SVID ends. */
export function signEncKey(identity: Identity, publicKey: Uint8Array, now: number): string {
  return signStatement(identity, ENC_KEY_TYP, encKeyBody(identity, publicKey, now))
}

/** The same with an SVID whose key may be in a module. */
export function signEncKeyWith(
  identity: Identity | HeldIdentity,
  publicKey: Uint8Array,
  now: number,
): Promise<string> {
  return signStatementWith(identity, ENC_KEY_TYP, encKeyBody(identity, publicKey, now))
}

/**
 * The key of `owner`, and of nobody else. Errors of openSigned(); ZT-421-MISDIRECTED for another owner's statement;
 * ZT-408-STALE when it has ended; ZT-400-KID when the id is not the key's own.
 */
export function openEncKey(text: string, context: SignedContext & { readonly owner: SpiffeId }): EncKey {
  const { payload, svid } = openSigned(text, { typ: ENC_KEY_TYP, maxBytes: MAX_BYTES, ...context })
  const body = parseBody(payload, '')
  if (body.iss !== svid.id || svid.id !== context.owner) {
    throw new ZtError('ZT-421-MISDIRECTED', 'encryption key is of another owner')
  }
  const expires = body.exp * 1000
  if (context.now >= expires) throw new ZtError('ZT-408-STALE', 'encryption key statement has ended')
  const publicKey = decodeBase64url(body.x25519, 'x25519')
  if (encKeyId(publicKey) !== body.kid)
    throw new ZtError('ZT-400-KID', 'field "kid" is not the id of the key')
  return { owner: svid.id, kid: body.kid, publicKey, expires }
}

/**
 * When a statement says that it ends, UTC milliseconds, before anybody has verified it: good for deciding when to ask for
 * another, and for nothing else. Errors: ZT-400-MALFORMED, ZT-422-SCHEMA.
 */
export function claimedEndOfEncKey(text: string): number {
  const payload = decodeBase64url(text.split('.')[1] ?? '', 'payload')
  return parseBody(parseStrictJson(payload, { maxBytes: MAX_BYTES }), '').exp * 1000
}

function encKeyBody(
  { id, notAfter }: Identity | HeldIdentity,
  publicKey: Uint8Array,
  now: number,
): EncKeyBody {
  return {
    v: 1,
    iss: id,
    kid: encKeyId(publicKey),
    x25519: encodeBase64url(publicKey),
    iat: Math.floor(now / 1000),
    exp: Math.floor(notAfter / 1000),
  }
}
