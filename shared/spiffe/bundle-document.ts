// A trust domain's keys as SPIFFE programs exchange them (SPIFFE Trust Domain and Bundle §4, X509-SVID §6, JWT-SVID §6).
// The text is hostile, and does not say whose it is: the trust domain comes from who configured the place it is from,
// and stays with it (SPIFFE Federation §7.3). What cannot be used is left out, so that nothing is trusted for it.
import { createPublicKey, type KeyObject } from 'node:crypto'
import { decodeBase64, encodeBase64 } from '#shared/encoding/base64url.ts'
import { JsonNumber, parseForeignJson, type ForeignJson } from '#shared/encoding/strict-json.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import type { TrustDomain } from '#shared/identity/names.ts'
import { parseCertificate, type Certificate } from '#shared/x509/certificate.ts'
import { publicKeyOfJwk, type JwtAuthorityKey, type JwtJwk } from './jwt-keys.ts'

export interface BundleDocument {
  readonly trustDomain: TrustDomain
  /** grows with every change, 64 bits; undefined if the trust domain counts nothing */
  readonly sequence: bigint | undefined
  /** seconds; undefined if the trust domain says nothing */
  readonly refreshHint: number | undefined
  /** none: no X509-SVID of the trust domain is valid */
  readonly x509Authorities: readonly Certificate[]
  /** none: no JWT-SVID of the trust domain is valid */
  readonly jwtAuthorities: readonly JwtAuthorityKey[]
  /** entries for X.509 or JWT that could not be used, and why: for a person to read */
  readonly unusable: readonly string[]
}

export const MAX_BUNDLE_DOCUMENT_BYTES: number = 128 * 1024
const MAX_ENTRIES = 256
const MAX_AUTHORITIES = 64
const MAX_SEQUENCE = 2n ** 64n - 1n
// RFC 7518 §6.2.1 and §6.3.1: the members of the key types that are known here, beside `kty`.
const KEY_MEMBERS: ReadonlyMap<ForeignJson | undefined, readonly string[]> = new Map([
  ['EC', ['crv', 'x', 'y']],
  ['RSA', ['n', 'e']],
])

export type ForeignMembers = Readonly<Record<string, ForeignJson>>

/** The document of `trustDomain`. ZT-422-SPIFFE-BUNDLE for anything but a JWK set, for repeated members, over 128 KiB. */
export function parseBundleDocument(text: string | Uint8Array, trustDomain: TrustDomain): BundleDocument {
  return readBundle(parseBundleJson(text, MAX_BUNDLE_DOCUMENT_BYTES), trustDomain)
}

/** The members of a text of at most `maxBytes`. ZT-422-SPIFFE-BUNDLE. */
export function parseBundleJson(text: string | Uint8Array, maxBytes: number): ForeignMembers {
  try {
    return members(parseForeignJson(text, { maxBytes }))
  } catch (cause) {
    if (!isZtError(cause) || cause.code === 'ZT-422-SPIFFE-BUNDLE') throw cause
    throw new ZtError('ZT-422-SPIFFE-BUNDLE', `spiffe bundle is refused: ${cause.message}`, { cause })
  }
}

/** A bundle among the members of a text that was parsed already. ZT-422-SPIFFE-BUNDLE. */
export function readBundle(value: ForeignJson | undefined, trustDomain: TrustDomain): BundleDocument {
  const document = members(value)
  const keys = document['keys']
  // §4.1.3: MUST be present, and may be empty.
  if (!isList(keys)) throw refuse('has no list of keys')
  if (keys.length > MAX_ENTRIES) throw refuse(`has more than ${MAX_ENTRIES} keys`)
  const found = new Found()
  keys.forEach((key, at) => found.take(members(key), `keys[${at}]`))
  return Object.freeze({
    trustDomain,
    // §4.1.1: at least 64 bits of precision.
    sequence: wholeNumber(document['spiffe_sequence'], 'spiffe_sequence', MAX_SEQUENCE),
    refreshHint: refreshHintOf(document),
    x509Authorities: [...found.x509.values()],
    jwtAuthorities: [...found.jwt.values()],
    unusable: found.unusable,
  })
}

/** True if no SVID of the trust domain is valid: it revoked all, or uses nothing that is known here (§4.1.3). */
export function isEmptyBundle(document: BundleDocument): boolean {
  return document.x509Authorities.length === 0 && document.jwtAuthorities.length === 0
}

/** The entries by kind. What has an unknown type or use is none of ours: passed over without a word (§4.1.3). */
class Found {
  readonly x509 = new Map<string, Certificate>()
  readonly jwt = new Map<string, JwtAuthorityKey>()
  readonly unusable: string[] = []

  take(jwk: ForeignMembers, place: string): void {
    const { use } = jwk
    // §4.2.1 and §4.2.2: unknown key types and uses MUST be ignored; uses are case-sensitive.
    if (!KEY_MEMBERS.has(jwk['kty']) || (use !== 'x509-svid' && use !== 'jwt-svid')) return
    try {
      if (use === 'x509-svid') this.#x509(jwk)
      else this.#jwt(jwk)
    } catch (error) {
      if (!isZtError(error) || error.code === 'ZT-422-SPIFFE-BUNDLE') throw error
      this.unusable.push(`${place}: ${error.message}`)
    }
    if (Math.max(this.x509.size, this.jwt.size) > MAX_AUTHORITIES)
      throw refuse(`has more than ${MAX_AUTHORITIES} keys of one use`)
  }

  #x509(jwk: ForeignMembers): void {
    const { x5c } = jwk
    // X509-SVID §6.2: without x5c the entry MUST be ignored, and all but its first value too.
    const first = isList(x5c) ? x5c[0] : undefined
    if (first === undefined) return
    if (typeof first !== 'string') throw unusable('x5c is not text')
    const certificate = parseCertificate(decodeBase64(first, 'x5c'))
    requireAuthority(certificate)
    requireSameKey(jwk, authorityKey(certificate))
    this.x509.set(certificate.thumbprint, certificate)
  }

  #jwt(jwk: ForeignMembers): void {
    const { kid } = jwk
    // JWT-SVID §6.1: kid MUST be set.
    if (typeof kid !== 'string' || kid === '' || kid.length > 256) throw unusable('kid is not set')
    // Two keys of one name: which of them a token means would be for each reader to guess.
    if (this.jwt.has(kid)) throw refuse('has two jwt keys with the same kid')
    this.jwt.set(kid, Object.freeze({ kid, publicKey: publicKeyOfJwk(keyMembers(jwk)) }))
  }
}

/**
 * A certification authority's certificate: the basic constraints and the usage that make one (X509-SVID §3.2), a key that
 * is known here, and a SPIFFE ID without a path if it has one. Its issuer and its dates are for path validation.
 */
function requireAuthority(certificate: Certificate): void {
  if (!certificate.isCa || !certificate.keyUsage.has('keyCertSign'))
    throw unusable('x5c is not the certificate of a certification authority')
  if (certificate.sans.uris.some(hasSpiffePath))
    throw unusable('x5c has a spiffe id with a path, which a signing certificate must not have')
}

/** True for a SPIFFE ID that names more than a trust domain. The standard's own examples end theirs with a slash. */
export function hasSpiffePath(uri: string): boolean {
  return uri.startsWith('spiffe://') && /^[^/]*\/./.test(uri.slice('spiffe://'.length))
}

/** The key of an authority: RSA of 2048 to 8192 bits, P-256, P-384 or P-521. ZT-422-CERT for any other. */
export function authorityKey({ spki }: Certificate): KeyObject {
  let key: KeyObject
  try {
    key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
  } catch (cause) {
    throw unusable('the key of the certificate cannot be read', cause)
  }
  const { namedCurve, modulusLength = 0 } = key.asymmetricKeyDetails ?? {}
  const known =
    key.asymmetricKeyType === 'ec'
      ? namedCurve !== undefined && CURVES.has(namedCurve)
      : key.asymmetricKeyType === 'rsa' && modulusLength >= MIN_RSA_BITS && modulusLength <= MAX_RSA_BITS
  if (!known)
    throw unusable('the key of the certificate is neither RSA of 2048 bits nor P-256, P-384 or P-521')
  return key
}

const CURVES: ReadonlySet<string> = new Set(['prime256v1', 'secp384r1', 'secp521r1'])
const MIN_RSA_BITS = 2048
const MAX_RSA_BITS = 8192

/** RFC 7517 §4.7: the key of the first certificate MUST be the one that the other members show, where they do. */
function requireSameKey(jwk: ForeignMembers, key: KeyObject): void {
  const shown = (KEY_MEMBERS.get(jwk['kty']) ?? []).filter((name) => jwk[name] !== undefined)
  const real = key.export({ format: 'jwk' })
  if (real.kty !== jwk['kty'] || shown.some((name) => real[name] !== jwk[name]))
    throw unusable('x5c has another key than the entry shows')
}

function keyMembers(jwk: ForeignMembers): Record<string, ForeignJson | undefined> {
  const names = ['kty', ...(KEY_MEMBERS.get(jwk['kty']) ?? [])]
  return Object.fromEntries(names.map((name) => [name, jwk[name]]))
}

/** What a trust domain of ours publishes. */
export interface OwnBundle {
  readonly trustDomain: TrustDomain
  readonly roots: readonly Certificate[]
  readonly jwt: readonly { readonly kid: string; readonly jwk: JwtJwk }[]
  readonly sequence: number
  /** seconds */
  readonly refreshHint: number
}

/** The text of our own document, equal for equal keys. */
export function buildBundleDocument({ trustDomain, roots, jwt, sequence, refreshHint }: OwnBundle): string {
  return encodeBundle({
    trustDomain,
    sequence: BigInt(sequence),
    refreshHint,
    x509Authorities: roots,
    jwtAuthorities: jwt.map(({ kid, jwk }) => ({ kid, publicKey: publicKeyOfJwk(jwk) })),
    unusable: [],
  })
}

/** The text of a document: every authority that it holds, and nothing that nobody here understood. */
export function encodeBundle(document: BundleDocument): string {
  const { sequence, refreshHint, x509Authorities, jwtAuthorities } = document
  const keys = [
    // X509-SVID §6.1: no kid, exactly one certificate.
    ...x509Authorities.map((certificate) => ({
      use: 'x509-svid',
      ...authorityKey(certificate).export({ format: 'jwk' }),
      x5c: [encodeBase64(certificate.der)],
    })),
    ...jwtAuthorities.map(({ kid, publicKey }) => ({
      use: 'jwt-svid',
      kid,
      ...publicKey.export({ format: 'jwk' }),
    })),
  ]
  const parts = [`"keys":${JSON.stringify(keys)}`]
  // Written by hand: JSON.stringify() takes no bigint.
  if (sequence !== undefined) parts.push(`"spiffe_sequence":${sequence}`)
  if (refreshHint !== undefined) parts.push(`"spiffe_refresh_hint":${refreshHint}`)
  return `{${parts.join(',')}}`
}

function refreshHintOf(document: ForeignMembers): number | undefined {
  const hint = wholeNumber(
    document['spiffe_refresh_hint'],
    'spiffe_refresh_hint',
    BigInt(Number.MAX_SAFE_INTEGER),
  )
  return hint === undefined ? undefined : Number(hint)
}

/** §4.1.1 and §4.1.2: when it is there, its value MUST be an integer. */
function wholeNumber(value: ForeignJson | undefined, field: string, max: bigint): bigint | undefined {
  if (value === undefined) return undefined
  const whole = value instanceof JsonNumber && /^[0-9]{1,20}$/.test(value.text) ? BigInt(value.text) : -1n
  if (whole < 0n || whole > max) throw refuse(`has a ${field} that is not a whole number`)
  return whole
}

function members(value: ForeignJson | undefined): ForeignMembers {
  if (typeof value !== 'object' || value === null || isList(value) || value instanceof JsonNumber)
    throw refuse('is not of the form of a jwk set')
  return value
}

function isList(value: ForeignJson | undefined): value is readonly ForeignJson[] {
  return Array.isArray(value)
}

const unusable = (what: string, cause?: unknown): ZtError => new ZtError('ZT-422-CERT', what, { cause })

function refuse(what: string): ZtError {
  return new ZtError('ZT-422-SPIFFE-BUNDLE', `spiffe bundle ${what}`)
}
