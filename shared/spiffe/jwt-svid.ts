// JWT-SVIDs (SPIFFE JWT-SVID): a bearer token that says one workload's identity to named audiences, for seconds. Built
// and judged here alone. A token is a secret while it lives: it is in no error, no detail and no log.
import { sign, verify, type KeyObject } from 'node:crypto'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { canonicalJson } from '#shared/encoding/canonical-json.ts'
import type { JsonObject, JsonValue } from '#shared/encoding/json-value.ts'
import { array, object, oneOf, optional, string, type Parser } from '#shared/encoding/shape.ts'
import {
  JsonNumber,
  parseForeignJson,
  parseStrictJson,
  type ForeignJson,
} from '#shared/encoding/strict-json.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import type { TrustDomain } from '#shared/identity/names.ts'
import { parseSpiffeId, trustDomainOf, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import {
  isJwtKeyFor,
  JWT_ALGORITHMS,
  verifyForm,
  type JwtAlgorithm,
  type JwtAuthorityKey,
} from './jwt-keys.ts'

/** Seconds: no token of this mesh lives longer. One of a foreign trust domain may. */
export const MAX_JWT_SVID_LIFE_S = 60
/** A token for many audiences can be used by each of them towards the others (JWT-SVID §7.2). */
export const MAX_AUDIENCES = 8
export const MAX_AUDIENCE_CHARACTERS = 512
const MAX_TOKEN_CHARACTERS = 16 * 1024
const MAX_HEADER_BYTES = 1024
/** How far ahead of ours another clock may be, seconds. Past its end a token has no leeway. */
const MAX_AHEAD_S = 30

export interface JwtSvidClaims {
  readonly sub: SpiffeId
  /** at least one */
  readonly aud: readonly string[]
  /** seconds since 1970 */
  readonly iat: number
  readonly exp: number
  readonly jti: string
}

export interface JwtSigningKey {
  readonly kid: string
  /** P-256 */
  readonly privateKey: KeyObject
}

export interface JwtSvidContext {
  /** who judges: one of the token's audiences must be exactly this */
  readonly audience: string
  /** UTC, milliseconds */
  readonly now: number
  /** the keys of that trust domain's bundle with the use "jwt-svid"; undefined for one that is not trusted at all */
  readonly authorities: (domain: TrustDomain) => readonly JwtAuthorityKey[] | undefined
}

export interface VerifiedJwtSvid {
  readonly id: SpiffeId
  readonly audiences: readonly string[]
  /** seconds since 1970 */
  readonly expires: number
  /** all of them, as signed */
  readonly claims: JsonObject
}

interface Header {
  readonly alg: JwtAlgorithm
  readonly kid?: string
  readonly typ?: 'JWT' | 'JOSE'
}

// JWT-SVID §2: any header that is not described there must not be included.
const parseHeader: Parser<Header> = object({
  alg: oneOf(JWT_ALGORITHMS),
  kid: optional(string({ min: 1, max: 256 })),
  typ: optional(oneOf(['JWT', 'JOSE'])),
})

/** The audience of a token: printable, and without spaces at its ends, so that two that look alike are alike. */
export const audienceField: Parser<string> = string({
  min: 1,
  max: MAX_AUDIENCE_CHARACTERS,
  pattern: /^(?! )[^\p{Cc}\p{Cs}]+(?<! )$/u,
})

/** One to eight different audiences. */
export const audiencesField: Parser<readonly string[]> = array(audienceField, { min: 1, max: MAX_AUDIENCES })

/**
 * Signs a token. ZT-422-SCHEMA for claims without an audience, without an end, or with an end more than 60 s after
 * their beginning: so none is ever signed, whoever asks.
 */
export function signJwtSvid(key: JwtSigningKey, claims: JwtSvidClaims): string {
  audiencesField(claims.aud, 'aud')
  const life = claims.exp - claims.iat
  if (!Number.isSafeInteger(life) || life <= 0 || life > MAX_JWT_SVID_LIFE_S)
    throw new ZtError('ZT-422-SCHEMA', `a jwt-svid lives for 1 to ${MAX_JWT_SVID_LIFE_S} seconds`)
  const { sub, aud, iat, exp, jti } = claims
  const header = part(canonicalJson({ alg: 'ES256', kid: key.kid, typ: 'JWT' }))
  const text = `${header}.${part(canonicalJson({ sub: parseSpiffeId(sub), aud, iat, exp, jti }))}`
  const signature = sign('sha256', Buffer.from(text), {
    key: key.privateKey,
    dsaEncoding: 'ieee-p1363',
  })
  return `${text}.${encodeBase64url(signature)}`
}

/**
 * Judges a token by JWT-SVID §2 to §4: compact form, an algorithm of the list and no other header, a subject that is a
 * SPIFFE ID, a key of that ID's own trust domain, an audience that is ours, an end that is not past.
 * ZT-401-JWT-SVID with details.reason: form, header, sub, bundle, key, signature, aud, exp, nbf.
 */
export function validateJwtSvid(token: string, context: JwtSvidContext): VerifiedJwtSvid {
  const { header, claims, signed, signature } = split(token)
  const id = subjectOf(claims)
  const keys = context.authorities(trustDomainOf(id))
  if (keys === undefined) throw refuse('bundle', 'is of a trust domain that is not trusted')
  const fitting = keys.filter(({ kid, publicKey }) => {
    return (header.kid ?? kid) === kid && isJwtKeyFor(header.alg, publicKey)
  })
  if (fitting.length === 0) throw refuse('key', 'names no key of the bundle of its trust domain')
  if (!fitting.some(({ publicKey }) => holds(header.alg, publicKey, { signed, signature })))
    throw refuse('signature', 'has a signature that does not verify')
  return { id, ...judgeClaims(claims, context), claims }
}

function judgeClaims(
  claims: JsonObject,
  { audience, now }: JwtSvidContext,
): { readonly audiences: readonly string[]; readonly expires: number } {
  const audiences = audiencesOf(claims['aud'])
  if (audience === '' || !audiences.includes(audience)) throw refuse('aud', 'is for another audience')
  const { exp, nbf, iat } = claims
  if (typeof exp !== 'number') throw refuse('exp', 'has no end')
  if (now >= exp * 1000) throw refuse('exp', 'has expired')
  for (const begin of [nbf, iat]) {
    if (begin === undefined) continue
    if (typeof begin !== 'number' || begin * 1000 > now + MAX_AHEAD_S * 1000)
      throw refuse('nbf', 'is from the future')
  }
  return { audiences, expires: exp }
}

// RFC 7519 §4.1.3: one audience may stand alone.
function audiencesOf(aud: JsonValue | undefined): readonly string[] {
  const list: unknown = typeof aud === 'string' ? [aud] : aud
  if (!Array.isArray(list) || list.length === 0) throw refuse('aud', 'has no audience')
  return list.map((entry: unknown) => {
    if (typeof entry !== 'string') throw refuse('aud', 'has an audience that is not text')
    return entry
  })
}

interface Parts {
  readonly header: Header
  readonly claims: JsonObject
  readonly signed: Uint8Array
  readonly signature: Uint8Array
}

// Nothing of this is believed before the signature holds: the subject only says whose key to try.
function split(token: string): Parts {
  if (token.length > MAX_TOKEN_CHARACTERS) throw refuse('form', 'is too large')
  const [headerPart, payloadPart, signaturePart, ...rest] = token.split('.')
  if (headerPart === undefined || payloadPart === undefined || signaturePart === undefined || rest.length > 0)
    throw refuse('form', 'is not a compact jws')
  const header = attempt('header', () => parseHeader(readJson(headerPart, MAX_HEADER_BYTES), ''))
  const claims = attempt('form', () => readClaims(payloadPart))
  const signature = attempt('form', () => decodeBase64url(signaturePart, 'signature'))
  return { header, claims, signature, signed: Buffer.from(`${headerPart}.${payloadPart}`, 'ascii') }
}

function readJson(text: string, maxBytes: number): JsonValue {
  return parseStrictJson(decodeBase64url(text, 'part'), { maxBytes })
}

// RFC 7519 §2: a time may have a fraction, and other claims are none of our business.
function readClaims(text: string): JsonObject {
  const json = decodeBase64url(text, 'payload')
  const claims = plain(parseForeignJson(json, { maxBytes: MAX_TOKEN_CHARACTERS }))
  if (typeof claims === 'object' && claims !== null && !isList(claims)) return claims
  throw refuse('form', 'has no claims')
}

function plain(value: ForeignJson): JsonValue {
  if (value instanceof JsonNumber) return finite(Number(value.text))
  if (typeof value !== 'object' || value === null) return value
  if (isForeignList(value)) return value.map(plain)
  const members = Object.entries<ForeignJson>(value).map(([name, member]) => [name, plain(member)])
  return Object.fromEntries(members) as JsonObject
}

function finite(value: number): number {
  if (Number.isFinite(value)) return value
  throw refuse('form', 'has a number that is too large')
}

const isList = (value: JsonValue): value is readonly JsonValue[] => Array.isArray(value)
const isForeignList = (value: ForeignJson): value is readonly ForeignJson[] => Array.isArray(value)

function subjectOf(claims: JsonObject): SpiffeId {
  return attempt('sub', () => parseSpiffeId(claims['sub']))
}

function holds(
  alg: JwtAlgorithm,
  key: KeyObject,
  { signed, signature }: Pick<Parts, 'signed' | 'signature'>,
): boolean {
  const { hash, options } = verifyForm(alg)
  return verify(hash, signed, { key, ...options }, signature)
}

const part = (text: string): string => encodeBase64url(Buffer.from(text))

/** Whatever a parser found is one finding here, and its message may quote the token: the cause is not kept. */
function attempt<T>(reason: string, read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!isZtError(error) || error.code === 'ZT-401-JWT-SVID') throw error
    throw refuse(reason, `does not have the accepted form (${error.code})`)
  }
}

function refuse(reason: string, what: string): ZtError {
  return new ZtError('ZT-401-JWT-SVID', `jwt-svid ${what}`, { details: { reason } })
}
