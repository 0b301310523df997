// The NATS JWT v2 envelope: three base64url parts, signed with Ed25519 by the nkey that `iss` names.
// verifyNatsJwt() proves who signed; what the claims mean, and whether that signer may say so, is claims.ts.
import { createHash } from 'node:crypto'
import { encodeBase32 } from '#shared/encoding/base32.ts'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { literal, object } from '#shared/encoding/shape.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { ZtError, isZtError } from '#shared/errors/error.ts'
import { verifyNkeySignature, type Nkey } from './nkeys.ts'

const HEADER = { typ: 'JWT', alg: 'ed25519-nkey' } as const
// An account's claims hold its revocations, at most 8,000 of about 95 bytes each.
const MAX_BYTES = 1024 * 1024

/** What every claim begins with; times are whole seconds since 1970. */
export interface ClaimsHead {
  readonly sub: string
  readonly name: string
  readonly iat: number
  readonly exp?: number
}

const parseHeader = object({ typ: literal(HEADER.typ), alg: literal(HEADER.alg) })

/** Signs claims; `nats` holds the fields of the claim's type. The issuer is the signer's public key. */
export function signNatsJwt(head: ClaimsHead, nats: object, signer: Nkey): string {
  const body = { ...head, iss: signer.publicKey, nats }
  // `jti` is a digest of the claims, so that the same claims give the same text. Nothing checks it.
  const jti = encodeBase32(createHash('sha512-256').update(JSON.stringify(body)).digest()).toUpperCase()
  const signed = `${encodeText(HEADER)}.${encodeText({ jti, ...body })}`
  return `${signed}.${encodeBase64url(signer.sign(Buffer.from(signed)))}`
}

/**
 * The claims as JSON, after their signature by exactly `issuer` has been verified.
 * Errors: ZT-413-SIZE, ZT-400-MALFORMED (not three parts of base64url with our header), ZT-422-SCHEMA (not strict
 * JSON), ZT-401-SIG (another issuer, or a signature that does not verify).
 */
export function verifyNatsJwt(text: string, issuer: string): unknown {
  if (text.length > MAX_BYTES) throw new ZtError('ZT-413-SIZE', 'the nats jwt is larger than 1 MiB')
  const [header = '', claims = '', signature, ...rest] = text.split('.')
  if (signature === undefined || rest.length > 0) {
    throw new ZtError('ZT-400-MALFORMED', 'a nats jwt has three parts')
  }
  checkHeader(header)
  // The wanted issuer's key, not the one the text names: only an equal `iss` is accepted by the parsers of claims.ts.
  verifyNkeySignature(issuer, Buffer.from(`${header}.${claims}`), decodeBase64url(signature, 'signature'))
  return parseStrictJson(decodeBase64url(claims, 'claims'), { maxBytes: MAX_BYTES })
}

function checkHeader(text: string): void {
  const bytes = decodeBase64url(text, 'header')
  try {
    parseHeader(parseStrictJson(bytes, { maxBytes: 256 }), 'header')
  } catch (cause) {
    if (!isZtError(cause)) throw cause
    throw new ZtError('ZT-400-MALFORMED', 'the header is not that of a nats jwt v2', { cause })
  }
}

function encodeText(value: object): string {
  return encodeBase64url(Buffer.from(JSON.stringify(value)))
}
