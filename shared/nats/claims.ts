// The three claims of NATS operator mode, in the one form that ztmesh writes: an operator trusts accounts, an account
// names its signing keys and what it revoked, a user is a key with explicit subjects and an end.
// The parsers refuse what would widen that: bearer tokens, missing permissions, other connection types.
import {
  array,
  integer,
  literal,
  object,
  optional,
  record,
  refuseField,
  string,
  type Parser,
} from '#shared/encoding/shape.ts'
import type { Permissions } from '#shared/protocol/subjects.ts'
import { signNatsJwt, verifyNatsJwt, type ClaimsHead } from './jwt.ts'
import { parseNkeyPublic, type Nkey, type NkeyKind } from './nkeys.ts'

/** Times are whole seconds since 1970, as on the wire. */
export interface UserClaims {
  readonly publicKey: string
  /** the SPIFFE ID */
  readonly name: string
  readonly account: string
  readonly issuedAtS: number
  readonly expiresS: number
  /** an empty list permits nothing */
  readonly permissions: Permissions
}

export interface AccountClaims {
  readonly publicKey: string
  readonly name: string
  readonly issuedAtS: number
  readonly signingKeys: readonly string[]
  /** user key → second: tokens of that key issued up to then are refused */
  readonly revocations: Readonly<Record<string, number>>
}

export interface OperatorClaims {
  readonly publicKey: string
  readonly name: string
  readonly issuedAtS: number
  readonly signingKeys: readonly string[]
  readonly systemAccount: string
}

const VERSION = 2
const MAX_SUBJECTS = 64
/** More would not fit into one message of 1 MiB. */
export const MAX_REVOCATIONS = 8_000
const USER_KEY = /^U[A-Z2-7]{55}$/
const NS_PER_MS = 1_000_000
const TOKEN = String.raw`(?:[A-Za-z0-9_-]+|\$[A-Z]+|\*)`
// A `>` only at the end; no space, which would name a queue group.
const SUBJECT = new RegExp(String.raw`^(?:${TOKEN}\.)*(?:${TOKEN}|>)$`)
const NOTHING = ['>'] as const

/** A user JWT signed by a signing key of `claims.account`. Throws ZT-422-SCHEMA for a subject or key not of its form. */
export function encodeUserJwt(claims: UserClaims, signer: Nkey): string {
  const { pub, sub, allowResponses } = claims.permissions
  const nats = {
    pub: encodeSubjects(pub, 'pub'),
    sub: encodeSubjects(sub, 'sub'),
    ...(allowResponses && { resp: { max: allowResponses.max, ttl: allowResponses.ttlMs * NS_PER_MS } }),
    subs: -1,
    data: -1,
    payload: -1,
    allowed_connection_types: ['STANDARD'],
    issuer_account: parseNkeyPublic(claims.account, 'account', 'account'),
    type: 'user',
    version: VERSION,
  }
  return signNatsJwt({ ...head(claims, 'user'), exp: claims.expiresS }, nats, signer)
}

/** An account JWT signed by a signing key of the operator. */
export function encodeAccountJwt(claims: AccountClaims, signer: Nkey): string {
  const nats = {
    // No imports, exports or leaf nodes; a JWT without permissions could do nothing.
    limits: { subs: -1, data: -1, payload: -1, conn: -1, disallow_bearer: true },
    default_permissions: { pub: { deny: NOTHING }, sub: { deny: NOTHING } },
    signing_keys: claims.signingKeys,
    ...(Object.keys(claims.revocations).length > 0 && { revocations: claims.revocations }),
    type: 'account',
    version: VERSION,
  }
  return signNatsJwt(head(claims, 'account'), nats, signer)
}

/** An operator JWT, signed by the operator's own key: accounts must be signed by one of its signing keys. */
export function encodeOperatorJwt(claims: OperatorClaims, signer: Nkey): string {
  const nats = {
    signing_keys: claims.signingKeys,
    system_account: claims.systemAccount,
    strict_signing_key_usage: true,
    type: 'operator',
    version: VERSION,
  }
  return signNatsJwt(head(claims, 'operator'), nats, signer)
}

/** The claims of a user JWT that `issuer`, a signing key, signed. Errors: those of verifyNatsJwt(), ZT-422-SCHEMA. */
export function verifyUserJwt(text: string, issuer: string): UserClaims {
  const { sub, name, iat, exp, nats } = parseUser(verifyNatsJwt(text, issuer), issuer)
  const responses = nats.resp && { allowResponses: { max: nats.resp.max, ttlMs: nats.resp.ttl / NS_PER_MS } }
  return Object.freeze({
    publicKey: sub,
    name,
    account: nats.issuer_account,
    issuedAtS: iat,
    expiresS: exp,
    permissions: Object.freeze({ pub: nats.pub, sub: nats.sub, ...responses }),
  })
}

/** The claims of an account JWT that `issuer`, a signing key of the operator, signed. Errors as above. */
export function verifyAccountJwt(text: string, issuer: string): AccountClaims {
  const { sub, name, iat, nats } = parseAccount(verifyNatsJwt(text, issuer), issuer)
  return Object.freeze({
    publicKey: sub,
    name,
    issuedAtS: iat,
    signingKeys: nats.signing_keys,
    revocations: nats.revocations ?? {},
  })
}

/** The claims of an operator JWT that `operator`, the operator itself, signed. Errors as above. */
export function verifyOperatorJwt(text: string, operator: string): OperatorClaims {
  const { sub, name, iat, nats } = parseOperator(verifyNatsJwt(text, operator), operator)
  if (sub !== operator) refuseField('sub', 'must be the issuer')
  return Object.freeze({
    publicKey: sub,
    name,
    issuedAtS: iat,
    signingKeys: nats.signing_keys,
    systemAccount: nats.system_account,
  })
}

function head(claims: { publicKey: string; name: string; issuedAtS: number }, kind: NkeyKind): ClaimsHead {
  return {
    sub: parseNkeyPublic(claims.publicKey, kind, 'publicKey'),
    name: claims.name,
    iat: claims.issuedAtS,
  }
}

// In NATS no list at all means every subject: an empty list is written as the refusal of all of them.
function encodeSubjects(subjects: readonly string[], field: string): object {
  const allow = parseSubjects(subjects, field)
  return allow.length > 0 ? { allow } : { deny: NOTHING }
}

const nkey =
  (kind: NkeyKind): Parser<string> =>
  (value, path) =>
    parseNkeyPublic(value, kind, path)

const parseSubjects = array(string({ min: 1, max: 255, pattern: SUBJECT }), { max: MAX_SUBJECTS })
const denyAll = object({ deny: array(literal('>'), { min: 1, max: 1 }) })
const allowed = object({ allow: parseSubjects })

const subjects: Parser<readonly string[]> = (value, path) => {
  if (typeof value === 'object' && value !== null && 'deny' in value) {
    denyAll(value, path)
    return []
  }
  const { allow } = allowed(value, path)
  return allow.length > 0 ? allow : refuseField(`${path}.allow`, 'must not be empty')
}

const noLimit = literal(-1)
const seconds = integer({ min: 0 })
const name = string({ min: 1, max: 2048 })
const jti = string({ max: 128 })

/** The fields that every claim has, by the kinds of its subject and its issuer. */
const common = (subject: NkeyKind, issuer: NkeyKind) =>
  // Some of the NATS project's libraries write an audience; it is always this one.
  ({
    jti,
    iat: seconds,
    iss: nkey(issuer),
    name,
    sub: nkey(subject),
    aud: optional(literal('NATS')),
  }) as const

/** The issuer must be the key that the signature was verified with. */
function issuedBy<T extends { readonly iss: string }>(
  parse: Parser<T>,
): (value: unknown, issuer: string) => T {
  return (value, issuer) => {
    const claims = parse(value, 'claims')
    return claims.iss === issuer ? claims : refuseField('claims.iss', 'must be the key that signed')
  }
}

const parseUser = issuedBy(
  object({
    ...common('user', 'account'),
    exp: seconds,
    nats: object({
      pub: subjects,
      sub: subjects,
      resp: optional(object({ max: integer({ min: 1, max: 1000 }), ttl: integer({ min: NS_PER_MS }) })),
      subs: noLimit,
      data: noLimit,
      payload: noLimit,
      bearer_token: optional(literal(false)),
      allowed_connection_types: array(literal('STANDARD'), { min: 1, max: 1 }),
      issuer_account: nkey('account'),
      type: literal('user'),
      version: literal(VERSION),
    }),
  }),
)

const parseAccount = issuedBy(
  object({
    ...common('account', 'operator'),
    nats: object({
      limits: object({
        subs: noLimit,
        data: noLimit,
        payload: noLimit,
        conn: noLimit,
        disallow_bearer: literal(true),
      }),
      default_permissions: object({ pub: denyAll, sub: denyAll }),
      signing_keys: array(nkey('account'), { min: 1, max: 16 }),
      revocations: optional(record(USER_KEY, seconds, { max: MAX_REVOCATIONS })),
      type: literal('account'),
      version: literal(VERSION),
    }),
  }),
)

const parseOperator = issuedBy(
  object({
    ...common('operator', 'operator'),
    nats: object({
      signing_keys: array(nkey('operator'), { min: 1, max: 16 }),
      system_account: nkey('account'),
      strict_signing_key_usage: literal(true),
      type: literal('operator'),
      version: literal(VERSION),
    }),
  }),
)
