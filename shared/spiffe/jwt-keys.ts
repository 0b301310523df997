// The keys that sign JWT-SVIDs, as a bundle shows them (RFC 7517, JWT-SVID §6), and which algorithm each may be used
// with. A key is used for the algorithms of its own kind alone, so that no token chooses another reading of it.
import { constants, createPublicKey, type KeyObject } from 'node:crypto'
import { canonicalJson } from '#shared/encoding/canonical-json.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import { base64urlText, literal, object, oneOf, type Parser } from '#shared/encoding/shape.ts'
import { ZtError } from '#shared/errors/error.ts'

// JWT-SVID §2.1: these and no others.
export const JWT_ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'ES256',
  'ES384',
  'ES512',
  'PS256',
  'PS384',
  'PS512',
] as const
export type JwtAlgorithm = (typeof JWT_ALGORITHMS)[number]

/** One key of a trust domain's bundle with the use "jwt-svid". */
export interface JwtAuthorityKey {
  readonly kid: string
  readonly publicKey: KeyObject
}

/** The public members of an elliptic-curve key (RFC 7518 §6.2.1), without `use` and `kid`. */
export interface EcJwk {
  readonly kty: 'EC'
  readonly crv: 'P-256' | 'P-384' | 'P-521'
  readonly x: string
  readonly y: string
}

/** The public members of an RSA key (RFC 7518 §6.3.1), without `use` and `kid`. */
export interface RsaJwk {
  readonly kty: 'RSA'
  readonly n: string
  readonly e: string
}

export type JwtJwk = EcJwk | RsaJwk

const MIN_RSA_BITS = 2048
const MAX_RSA_BITS = 4096

const CURVES: Readonly<Record<'ES256' | 'ES384' | 'ES512', string>> = {
  ES256: 'prime256v1',
  ES384: 'secp384r1',
  ES512: 'secp521r1',
}

const ecJwk: Parser<EcJwk> = object({
  kty: literal('EC'),
  crv: oneOf(['P-256', 'P-384', 'P-521']),
  x: base64urlText({ min: 32, max: 66 }),
  y: base64urlText({ min: 32, max: 66 }),
})

const rsaJwk: Parser<RsaJwk> = object({
  kty: literal('RSA'),
  n: base64urlText({ min: MIN_RSA_BITS / 8, max: MAX_RSA_BITS / 8 }),
  e: base64urlText({ min: 3, max: 8 }),
})

/** The public members of a P-256 key. */
export function ecJwkOf(publicKey: KeyObject): EcJwk {
  const { kty, crv, x, y } = publicKey.export({ format: 'jwk' })
  return ecJwk({ kty, crv, x, y }, 'jwk')
}

/** RFC 7638: the digest of the key's required members, which names it. */
export function jwkThumbprint(jwk: JwtJwk): string {
  return sha256Text(canonicalJson(jwk))
}

/**
 * The key of these members, which must be public members alone. ZT-422-SCHEMA for another kind of key, an RSA key below
 * 2048 or above 4096 bits, or a point that is not on its curve.
 */
export function publicKeyOfJwk(jwk: unknown): KeyObject {
  const isRsa = typeof jwk === 'object' && jwk !== null && 'kty' in jwk && jwk.kty === 'RSA'
  const members = isRsa ? rsaJwk(jwk, 'jwk') : ecJwk(jwk, 'jwk')
  try {
    return createPublicKey({ key: { ...members }, format: 'jwk' })
  } catch (cause) {
    throw new ZtError('ZT-422-SCHEMA', 'field "jwk" is not a key', { cause, details: { field: 'jwk' } })
  }
}

/** True if tokens of that algorithm may be verified with the key. */
export function isJwtKeyFor(alg: JwtAlgorithm, key: KeyObject): boolean {
  const curve = curveOf(alg)
  if (curve !== undefined)
    return key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === curve
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 0
  return key.asymmetricKeyType === 'rsa' && bits >= MIN_RSA_BITS && bits <= MAX_RSA_BITS
}

/** How node:crypto verifies a signature of that algorithm (RFC 7518 §3.3 to §3.5). */
export function verifyForm(alg: JwtAlgorithm): {
  readonly hash: string
  readonly options: {
    readonly dsaEncoding?: 'ieee-p1363'
    readonly padding?: number
    readonly saltLength?: number
  }
} {
  const hash = `sha${alg.slice(2)}`
  if (alg.startsWith('ES')) return { hash, options: { dsaEncoding: 'ieee-p1363' } }
  if (alg.startsWith('RS')) return { hash, options: { padding: constants.RSA_PKCS1_PADDING } }
  // RFC 7518 §3.5: the salt is as long as the hash.
  const saltLength = constants.RSA_PSS_SALTLEN_DIGEST
  return { hash, options: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength } }
}

function curveOf(alg: JwtAlgorithm): string | undefined {
  return alg === 'ES256' || alg === 'ES384' || alg === 'ES512' ? CURVES[alg] : undefined
}
