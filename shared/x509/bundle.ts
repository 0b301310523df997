// The trust bundle: a SPIFFE bundle (SPIFFE Trust Domain and Bundle §4) and the intermediates that are revoked, signed
// by a root. A new root is believed only from a bundle that a root believed before has signed, so no hub can add one.
import { array, base64urlText, literal, object, parsed, unparsed } from '#shared/encoding/shape.ts'
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { decodeBase64, encodeBase64 } from '#shared/encoding/base64url.ts'
import { sha256 } from '#shared/encoding/digest.ts'
import type { JsonObject, JsonValue } from '#shared/encoding/json-value.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { parseTrustDomain, type TrustDomain } from '#shared/identity/names.ts'
import { BUNDLE_TYP, parseJws, signJwsWith, verifyJws, type Signer } from '#shared/jose/jws.ts'
import { parseCertificate, type Certificate } from './certificate.ts'
import { ecPublicKey } from './ec-spki.ts'
import { OID } from './oid.ts'
import { isSignedBy, requireTime } from './path.ts'

export interface TrustBundle {
  readonly trustDomain: TrustDomain
  /** grows with every change */
  readonly sequence: number
  /** seconds after which to look for a newer bundle */
  readonly refreshHint: number
  /** none: every SVID of the trust domain is invalid */
  readonly roots: readonly Certificate[]
  /** `keyId` (base64url SHA-256 of the SubjectPublicKeyInfo) of intermediates that no longer count */
  readonly revokedIntermediates: readonly string[]
}

/** Why the signer of a bundle is believed: by the fingerprint given at joining, or by the bundle held already. */
export type BundleTrust =
  /** lower-case hex SHA-256 of the root's DER */
  { readonly pinnedRoot: string } | { readonly trusted: TrustBundle }

const MAX_BYTES = 64 * 1024
const MAX_ROOTS = 8
const MAX_REVOKED = 256

const parsePayload = object({
  v: literal(1),
  td: parsed(parseTrustDomain),
  bundle: unparsed,
  revoked: array(base64urlText({ min: 32, max: 32 }), { max: MAX_REVOKED }),
})

/**
 * Opens a "zt-bundle+jws" that is signed by a root valid at `at` (milliseconds) and believed by `trust`. With a bundle
 * held already, the new one has the same trust domain and a higher sequence, or is the same. Throws ZT-401-BUNDLE.
 */
export function openBundle(text: string, trust: BundleTrust, at: number): TrustBundle {
  try {
    const jws = parseJws(text, { typ: BUNDLE_TYP, maxBytes: MAX_BYTES })
    const root = parseCertificate(jws.x5c[0] ?? new Uint8Array())
    requireBelieved(root, trust)
    requireTime(root, at)
    const payload = verifyJws(jws, ecPublicKey(root.spki, 'P-384'))
    const bundle = readPayload(payload)
    requireRoot(root, bundle.trustDomain)
    if ('trusted' in trust) requireNewer(bundle, trust.trusted)
    return bundle
  } catch (error) {
    if (!isZtError(error) || error.code === 'ZT-401-BUNDLE') throw error
    throw new ZtError('ZT-401-BUNDLE', `trust bundle is refused: ${error.message}`, { cause: error })
  }
}

/** The signed form of `bundle`; `signer` is one of the roots, ES384 with itself as its chain. */
export async function signBundle(bundle: TrustBundle, signer: Signer): Promise<string> {
  return signJwsWith({ typ: BUNDLE_TYP, payload: bundlePayload(bundle), signer })
}

/** The bytes that a root signs for `bundle`. */
export function bundlePayload(bundle: TrustBundle): Uint8Array {
  return canonicalBytes({
    v: 1,
    td: bundle.trustDomain,
    bundle: spiffeBundleJson(bundle),
    revoked: bundle.revokedIntermediates,
  })
}

/** The bundle as other SPIFFE programs read it: a JWK set with one "x509-svid" key a root. */
export function spiffeBundleJson(bundle: TrustBundle): JsonObject {
  return {
    keys: bundle.roots.map(jwkOf),
    spiffe_sequence: bundle.sequence,
    spiffe_refresh_hint: bundle.refreshHint,
  }
}

/** Lower-case hex SHA-256 of a root's DER: what a join string pins. */
export function rootFingerprint(root: Certificate): string {
  return Buffer.from(sha256(root.der)).toString('hex')
}

/** Throws ZT-401-BUNDLE unless `next` may take the place of `held`. */
export function requireNewer(next: TrustBundle, held: TrustBundle): void {
  if (next.trustDomain !== held.trustDomain) throw refuse('is of another trust domain')
  if (next.sequence > held.sequence) return
  if (next.sequence < held.sequence) throw refuse('is older than the one that is held')
  // One number, one content: two bundles under the same number would let an observer be shown either.
  if (Buffer.compare(bundlePayload(next), bundlePayload(held)) !== 0) {
    throw refuse('differs from the held one of the same sequence')
  }
}

function requireBelieved(root: Certificate, trust: BundleTrust): void {
  const believed =
    'trusted' in trust
      ? trust.trusted.roots.some((known) => Buffer.compare(known.der, root.der) === 0)
      : rootFingerprint(root) === trust.pinnedRoot
  if (!believed) throw refuse('is signed by a root that is not trusted')
}

function readPayload(payload: Uint8Array): TrustBundle {
  const { td, bundle, revoked } = parsePayload(parseStrictJson(payload, { maxBytes: MAX_BYTES }), '')
  const { roots, sequence, refreshHint } = readSpiffeBundle(bundle)
  for (const root of roots) requireRoot(root, td)
  if (new Set(roots.map((root) => root.thumbprint)).size !== roots.length) throw refuse('has a root twice')
  return Object.freeze({ trustDomain: td, sequence, refreshHint, roots, revokedIntermediates: revoked })
}

/** A root: certification authority, signed by itself, named with its trust domain and nothing else. */
function requireRoot(root: Certificate, trustDomain: TrustDomain): void {
  const { uris, dns, emails, ips, other } = root.sans
  const named = uris.length === 1 && uris[0] === `spiffe://${trustDomain}`
  // SPIFFE X509-SVID §3.2: a signing certificate's SPIFFE ID has no path, and is of the trust domain it stands for.
  if (!named || dns.length + emails.length + ips.length + other.length > 0) {
    throw refuse('has a root that is not named with its trust domain alone')
  }
  if (!root.isCa || !root.critical.has(OID.basicConstraints) || !root.keyUsage.has('keyCertSign')) {
    throw refuse('has a root that is not a certification authority')
  }
  if (!isSignedBy(root, root)) throw refuse('has a root that is not signed by itself')
}

interface SpiffeBundle {
  readonly roots: readonly Certificate[]
  readonly sequence: number
  readonly refreshHint: number
}

/** SPIFFE Trust Domain and Bundle §4.2: unknown parameters, key types and uses are ignored, ours are not optional. */
function readSpiffeBundle(value: unknown): SpiffeBundle {
  const document = members(value)
  const keys = document['keys']
  if (!Array.isArray(keys)) throw refuse('has no list of keys')
  const roots = keys.flatMap((key: unknown) => rootsOf(members(key)))
  if (roots.length > MAX_ROOTS) throw refuse(`has more than ${MAX_ROOTS} roots`)
  return {
    roots,
    sequence: count(document['spiffe_sequence'], 'spiffe_sequence'),
    refreshHint: count(document['spiffe_refresh_hint'], 'spiffe_refresh_hint'),
  }
}

function rootsOf(jwk: Readonly<Record<string, unknown>>): Certificate[] {
  const { kty, use, x5c } = jwk
  if (kty !== 'EC' || use !== 'x509-svid' || !Array.isArray(x5c)) return []
  // §4.2.2: only the first certificate of x5c is the key's.
  const first: unknown = x5c[0]
  return typeof first === 'string' ? [parseCertificate(decodeBase64(first, 'x5c'))] : []
}

function jwkOf(root: Certificate): JsonValue {
  const { kty, crv, x, y } = ecPublicKey(root.spki, 'P-384').export({ format: 'jwk' })
  if (kty === undefined || crv === undefined || x === undefined || y === undefined) {
    throw refuse('has a root whose key has no jwk form')
  }
  return { kty, crv, x, y, use: 'x509-svid', x5c: [encodeBase64(root.der)] }
}

function members(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw refuse('is not of the SPIFFE form')
  return value as Readonly<Record<string, unknown>>
}

function count(value: unknown, field: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw refuse(`lacks ${field}`)
  return value
}

function refuse(what: string): ZtError {
  return new ZtError('ZT-401-BUNDLE', `trust bundle ${what}`)
}
