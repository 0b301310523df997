// "zt-root-usage+jws": how many live SVIDs still chain to each root, and since when each is trusted, said by a hub. It goes
// to the offline machine, where a root is retired only if none does and the next was trusted long enough beside it. A hub
// that lies keeps a root in use or cuts off its own mesh; it gains no trust.
import { decodeBase64url } from '#shared/encoding/base64url.ts'
import {
  array,
  integer,
  literal,
  object,
  optional,
  parsed,
  string,
  type Parser,
} from '#shared/encoding/shape.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { Identity } from '#shared/identity/identity.ts'
import { parseTrustDomain, type TrustDomain } from '#shared/identity/names.ts'
import { principalKind, trustDomainOf, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import type { SvidValidator } from '#shared/x509/svid.ts'
import { secondsField, spiffeIdField } from './fields.ts'
import { openSigned, signStatement } from './signed.ts'

export const ROOT_USAGE_TYP = 'zt-root-usage+jws'

export interface RootUsage {
  /** lower-case hex SHA-256 of the root's DER */
  readonly fingerprint: string
  /** SVIDs that have not ended and chain to it, those of the hub and its broker included */
  readonly live: number
  /**
   * since when the bundles of this hub have it without a break, seconds since 1970: when it was imported, not when it was
   * made; left out for a root that is not trusted now
   */
  readonly since?: number
}

export interface RootUsageStatement {
  readonly v: 1
  /** the hub that counted */
  readonly iss: SpiffeId
  /** when it counted, seconds since 1970 */
  readonly iat: number
  readonly td: TrustDomain
  /** every root of the bundle in force, and every other that a live SVID still chains to; none twice */
  readonly roots: readonly RootUsage[]
}

const MAX_BYTES = 16 * 1024
const MAX_ROOTS = 16
/** How far the clock of the offline machine may be behind that of the hub, milliseconds. */
const MAX_AHEAD_MS = 60_000

/** One root in a statement, as the answers of operators' verbs show it too. */
export const rootUsageField: Parser<RootUsage> = object({
  fingerprint: string({ max: 64, pattern: /^[0-9a-f]{64}$/ }),
  live: integer({ min: 0, max: 1_000_000_000 }),
  since: optional(secondsField),
})

const parseShape: Parser<RootUsageStatement> = object({
  v: literal(1),
  iss: spiffeIdField,
  iat: secondsField,
  td: parsed(parseTrustDomain),
  roots: array(rootUsageField, { min: 1, max: MAX_ROOTS }),
})

const parseBody: Parser<RootUsageStatement> = (value, path) => {
  const body = parseShape(value, path)
  // Two counts of one root would let a reader take the smaller one.
  if (new Set(body.roots.map((root) => root.fingerprint)).size !== body.roots.length)
    throw new ZtError('ZT-422-SCHEMA', 'field "roots" has a root twice')
  return body
}

/** Signs the count as the hub. ZT-422-SCHEMA for a count that a reader would refuse. */
export function signRootUsage(
  identity: Identity,
  count: { readonly roots: readonly RootUsage[]; readonly now: number },
): string {
  const iat = Math.floor(count.now / 1000)
  const td = trustDomainOf(identity.id)
  return signStatement(
    identity,
    ROOT_USAGE_TYP,
    parseBody({ v: 1, iss: identity.id, iat, td, roots: count.roots }, ''),
  )
}

/**
 * Opens a statement that was made at most `maxAgeMs` before `now` (milliseconds). The hub's SVID ends minutes after it
 * signs and the statement is carried by hand, so the chain has to hold at the time of counting, not at `now`.
 * Errors of openSigned(); ZT-408-STALE for another age; ZT-421-MISDIRECTED if the signer is not the hub it names.
 */
export function openRootUsage(
  text: string,
  context: { readonly trust: SvidValidator; readonly now: number; readonly maxAgeMs: number },
): RootUsageStatement {
  const { trust, now, maxAgeMs } = context
  const countedAt = claimedTime(text)
  if (countedAt > now + MAX_AHEAD_MS || countedAt < now - maxAgeMs)
    throw new ZtError('ZT-408-STALE', 'the root usage statement was not made lately')
  const { payload, svid } = openSigned(text, {
    typ: ROOT_USAGE_TYP,
    maxBytes: MAX_BYTES,
    trust,
    now: countedAt,
  })
  const body = parseBody(payload, '')
  if (principalKind(svid.id) !== 'hub' || body.iss !== svid.id || body.td !== trustDomainOf(svid.id))
    throw new ZtError('ZT-421-MISDIRECTED', 'the root usage statement is not signed by the hub it names')
  return body
}

/** What the statement says of its own time: the instant at which its chain has to hold, which bounds it. */
function claimedTime(text: string): number {
  if (text.length > MAX_BYTES) throw new ZtError('ZT-413-SIZE', `statement is over ${MAX_BYTES} bytes`)
  const payload = decodeBase64url(text.split('.')[1] ?? '', 'payload')
  return parseBody(parseStrictJson(payload, { maxBytes: MAX_BYTES }), '').iat * 1000
}
