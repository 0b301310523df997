// "zt-cap+jwt": one use of one command on one node by one key, for seconds. Signed by a hub's SVID, and verified by the
// node against its own trust bundle with nothing asked of anybody.
import { sha256Text, equalBytes } from '#shared/encoding/digest.ts'
import {
  array,
  integer,
  literal,
  nullable,
  object,
  optional,
  string,
  type Parser,
} from '#shared/encoding/shape.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { Identity } from '#shared/identity/identity.ts'
import { principalKind, trustDomainOf, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import type { SvidValidator, VerifiedSvid } from '#shared/x509/svid.ts'
import { parseDetail, type AuthorizationDetail } from './authorization.ts'
import {
  bootField,
  bytes32Field,
  digestField,
  lineField,
  secondsField,
  spiffeIdField,
  uuidField,
} from './fields.ts'
import { openSigned, signStatement } from './signed.ts'

export const CAPABILITY_TYP = 'zt-cap+jwt'
/** Seconds: no token lives longer, whoever signed it. */
export const MAX_TOKEN_LIFE_S = 60
export const DEFAULT_TOKEN_LIFE_S = 15
export const MAX_TOKEN_BYTES: number = 16 * 1024

/** The policy decision behind a token. */
export interface PolicyStamp {
  /** `sha-256:` digest of the policy bundle */
  readonly bundle: string
  readonly ver: number
  /** the oldest version under which a node may still accept the token */
  readonly min_ver: number
  readonly decision: string
  readonly reasons: readonly string[]
}

export interface ApprovalReference {
  readonly id: string
  readonly digest: string
  readonly by: readonly string[]
}

export interface CapabilityClaims {
  readonly iss: SpiffeId
  readonly aud: SpiffeId
  readonly iat: number
  readonly exp: number
  readonly jti: string
  readonly txn: string
  /** whose authority is used: the caller itself, unless `act` names the caller */
  readonly sub: string
  readonly act?: { readonly sub: SpiffeId }
  readonly cnf: { readonly 'x5t#S256': string }
  readonly authorization_details: readonly AuthorizationDetail[]
  readonly use: { readonly mode: 'single'; readonly scope: 'node' }
  /** this start and this joining of the node: a rebooted or re-joined node refuses older tokens */
  readonly node: { readonly boot: string; readonly fence: number }
  readonly pol: PolicyStamp
  /** level of assurance of the node: 1 join token, 2 TPM */
  readonly lvl: number
  readonly chain: string | null
  readonly apr: readonly ApprovalReference[]
}

export interface CapabilityContext {
  readonly trust: SvidValidator
  /** UTC, milliseconds */
  readonly now: number
  /** the node that judges */
  readonly aud: SpiffeId
  /** who signed the envelope, and with which leaf */
  readonly holder: { readonly id: SpiffeId; readonly thumbprint: string }
  /** the envelope's digest of the token */
  readonly tth: string
  readonly boot: string
  readonly fence: number
}

export interface VerifiedCapability {
  readonly claims: CapabilityClaims
  readonly detail: AuthorizationDetail
  readonly hub: VerifiedSvid
}

const MAX_AHEAD_S = 30

const parseClaims: Parser<CapabilityClaims> = object({
  iss: spiffeIdField,
  aud: spiffeIdField,
  iat: secondsField,
  exp: secondsField,
  jti: uuidField,
  txn: uuidField,
  sub: string({ min: 1, max: 2048, pattern: /^[\x21-\x7e]+$/ }),
  act: optional(object({ sub: spiffeIdField })),
  cnf: object({ 'x5t#S256': bytes32Field }),
  // One token, one command: a second detail would be a second grant.
  authorization_details: array(parseDetail, { min: 1, max: 1 }),
  use: object({ mode: literal('single'), scope: literal('node') }),
  node: object({ boot: bootField, fence: integer({ min: 0 }) }),
  pol: object({
    bundle: digestField,
    ver: integer({ min: 1 }),
    min_ver: integer({ min: 1 }),
    decision: uuidField,
    reasons: array(lineField, { max: 32 }),
  }),
  lvl: integer({ min: 0, max: 3 }),
  chain: nullable(digestField),
  apr: array(
    object({
      id: string({ min: 1, max: 64 }),
      digest: digestField,
      by: array(lineField, { min: 1, max: 16 }),
    }),
    { max: 8 },
  ),
})

/** Signs claims as the hub. ZT-422-SCHEMA for claims that a node would refuse, so that none are ever signed. */
export function signCapability(identity: Identity, claims: CapabilityClaims): string {
  const checked = parseClaims(claims, '')
  const fault = timeFault(checked, checked.iat * 1000)
  if (fault !== undefined) throw new ZtError('ZT-422-SCHEMA', `token ${fault}`)
  return signStatement(identity, CAPABILITY_TYP, checked)
}

/**
 * Check 10. ZT-401-TOKEN (details.reason) unless the token is the one that the envelope names, is signed by a hub of
 * this trust domain, is for this node, this boot and this fence, and is within a life of at most 60 s; ZT-403-HOLDER
 * unless it was given to the holder's key and in the holder's name.
 */
export function verifyCapability(token: string, context: CapabilityContext): VerifiedCapability {
  if (!sameText(sha256Text(token), context.tth))
    throw refuse('tth', 'is not the token that the envelope names')
  const { claims, hub } = open(token, context)
  if (principalKind(hub.id) !== 'hub' || claims.iss !== hub.id) throw refuse('iss', 'was not signed by a hub')
  if (trustDomainOf(hub.id) !== trustDomainOf(context.aud)) throw refuse('iss', 'is of another trust domain')
  if (claims.aud !== context.aud) throw refuse('aud', 'is for another node')
  const fault = timeFault(claims, context.now)
  if (fault !== undefined) throw refuse('time', fault)
  if (claims.node.boot !== context.boot) throw refuse('boot', 'is for another start of the node')
  if (claims.node.fence !== context.fence) throw refuse('fence', 'is for another joining of the node')
  checkHolder(claims, context.holder)
  const [detail] = claims.authorization_details
  if (detail === undefined) throw refuse('authorization_details', 'grants nothing')
  return { claims, detail, hub }
}

/** Check 12: this version verifies no trust rings, so it refuses every chain. ZT-403-CHAIN. */
export function checkTrustChain(rings: readonly string[], claims: CapabilityClaims): void {
  if (rings.length > 0 || claims.chain !== null) {
    throw new ZtError('ZT-403-CHAIN', 'trust chains cannot be verified here')
  }
}

/** Check 13: this version verifies no approvals, so it refuses a token that rests on any. ZT-403-APPROVAL. */
export function checkApprovals(claims: CapabilityClaims): void {
  if (claims.apr.length > 0) throw new ZtError('ZT-403-APPROVAL', 'approvals cannot be verified here')
}

function open(token: string, context: CapabilityContext): { claims: CapabilityClaims; hub: VerifiedSvid } {
  const form = { typ: CAPABILITY_TYP, maxBytes: MAX_TOKEN_BYTES }
  try {
    const { payload, svid } = openSigned(token, { ...form, trust: context.trust, now: context.now })
    return { claims: parseClaims(payload, ''), hub: svid }
  } catch (cause) {
    // Whatever is wrong with a token is one finding to the sender: the envelope around it was sound.
    if (!(cause instanceof ZtError)) throw cause
    throw new ZtError('ZT-401-TOKEN', `token does not verify: ${cause.message}`, {
      cause,
      details: { reason: cause.code },
    })
  }
}

function timeFault({ iat, exp }: CapabilityClaims, nowMs: number): string | undefined {
  const now = nowMs / 1000
  if (exp <= iat || exp - iat > MAX_TOKEN_LIFE_S) return 'lives for no time or for too long'
  if (iat > now + MAX_AHEAD_S) return 'is from the future'
  return now >= exp ? 'has expired' : undefined
}

function checkHolder(claims: CapabilityClaims, holder: CapabilityContext['holder']): void {
  if (claims.cnf['x5t#S256'] !== holder.thumbprint) {
    throw new ZtError('ZT-403-HOLDER', 'token is bound to another key', { details: { field: 'cnf' } })
  }
  if ((claims.act?.sub ?? claims.sub) !== holder.id) {
    throw new ZtError('ZT-403-HOLDER', 'token is for another caller', { details: { field: 'sub' } })
  }
}

function sameText(a: string, b: string): boolean {
  return equalBytes(Buffer.from(a), Buffer.from(b))
}

function refuse(reason: string, what: string): ZtError {
  return new ZtError('ZT-401-TOKEN', `token ${what}`, { details: { reason } })
}
