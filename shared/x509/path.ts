// RFC 5280 §6.1 path validation, for the one shape that ztmesh has: root → intermediate → leaf. Roots are trusted
// as given; everything below them is hostile until every check here has passed.
import { verify, type KeyObject } from 'node:crypto'
import { ZtError } from '#shared/errors/error.ts'
import type { Certificate } from './certificate.ts'
import { curveOf, ecPublicKey, type Curve } from './ec-spki.ts'
import { isCanonicalSignature } from './ecdsa-signature.ts'
import { namesAllowed } from './name-constraints.ts'
import { OID } from './oid.ts'

/** Why a chain proves nothing; carried as `details.reason` of ZT-401-CERT. */
export type ChainRefusal =
  | 'algorithm'
  | 'chain-length'
  | 'expired'
  | 'extended-key-usage'
  | 'key-usage'
  | 'leaf-is-ca'
  | 'malformed'
  | 'name-constraints'
  | 'not-a-ca'
  | 'not-yet-valid'
  | 'path-length'
  | 'revoked-intermediate'
  | 'signature'
  | 'spiffe-id'
  | 'subject'
  | 'trust-domain'
  | 'unknown-critical'
  | 'untrusted'
  | 'uri-san'

export interface CandidatePath {
  readonly leaf: Certificate
  readonly intermediates: readonly Certificate[]
  readonly roots: readonly Certificate[]
}

export interface ValidatedPath {
  readonly leaf: Certificate
  readonly intermediate: Certificate
  readonly root: Certificate
}

/** Answers whether `issuer` signed `subject`; injected where the answer may be remembered. */
export type CheckSignature = (subject: Certificate, issuer: Certificate) => boolean

/**
 * Proves that `leaf` chains over exactly one intermediate to one of `roots` at the instant `at` (milliseconds): validity,
 * signatures, name chaining, basic constraints, path length, key usage, name constraints, unknown critical extensions.
 * Throws ZT-401-CERT with `details.reason`. Says nothing about what the leaf may be used for: see svid.ts.
 */
export function validatePath(
  candidate: CandidatePath,
  at: number,
  checkSignature: CheckSignature = isSignedBy,
): ValidatedPath {
  const { leaf, intermediates, roots } = candidate
  const [intermediate] = intermediates
  if (intermediate === undefined || intermediates.length !== 1) {
    throw refuse('chain-length', 'the chain is not a leaf and one intermediate')
  }
  const root = findIssuer(intermediate, roots)
  requireRoot(root, at)
  requireIssued(intermediate, { issuer: root, at, checkSignature })
  requireIntermediate(intermediate)
  requireIssued(leaf, { issuer: intermediate, at, checkSignature })
  for (const certificate of [root, intermediate]) requireNames(leaf, certificate)
  requireNames(intermediate, root)
  return { leaf, intermediate, root }
}

/** Throws ZT-401-CERT unless `certificate` is valid at `at`; both ends of the period belong to it (RFC 5280 §4.1.2.5). */
export function requireTime(certificate: Certificate, at: number): void {
  if (!(at >= certificate.notBefore))
    throw refuse('not-yet-valid', 'a certificate of the chain is not valid yet')
  // The last second belongs to the period; `at` has milliseconds, the certificate has none.
  if (!(at < certificate.notAfter + 1000)) throw refuse('expired', 'a certificate of the chain has expired')
}

/** True if the key of `issuer` made the signature of `subject`, in its canonical form. Throws ZT-401-CERT for algorithms that are not ours. */
export function isSignedBy(subject: Certificate, issuer: Certificate): boolean {
  const curve = curveOf(issuer.spki)
  // The hash is that of the curve's strength (RFC 5480 §4): no other pairing is accepted.
  const expected = curve === 'P-256' ? OID.ecdsaWithSha256 : OID.ecdsaWithSha384
  if (curve === undefined || subject.signatureAlgorithm !== expected) {
    throw refuse('algorithm', 'a certificate of the chain is not signed with ECDSA over P-256 or P-384')
  }
  // Only one of the signatures that verify is accepted: see ecdsa-signature.ts.
  if (!isCanonicalSignature(subject.signature, curve)) return false
  const key = issuerKey(issuer, curve)
  return verify(
    curve === 'P-256' ? 'sha256' : 'sha384',
    subject.tbs,
    { key, dsaEncoding: 'der' },
    subject.signature,
  )
}

export function refuse(reason: ChainRefusal, message: string, cause?: unknown): ZtError {
  return new ZtError('ZT-401-CERT', message, { cause, details: { reason } })
}

function issuerKey(issuer: Certificate, curve: Curve): KeyObject {
  try {
    return ecPublicKey(issuer.spki, curve)
  } catch (error) {
    throw refuse('algorithm', 'a certificate of the chain has a key that is not a point of its curve', error)
  }
}

function findIssuer(intermediate: Certificate, roots: readonly Certificate[]): Certificate {
  const named = roots.filter(
    (root) => sameBytes(root.subjectDer, intermediate.issuerDer) && keyIdsMatch(intermediate, root),
  )
  // The identifiers only choose among roots of one name; the signature is what counts.
  const [root] = named
  if (root === undefined) throw refuse('untrusted', 'the chain does not lead to a trusted root')
  return root
}

function requireRoot(root: Certificate, at: number): void {
  requireTime(root, at)
  requireCa(root)
  if (root.pathLen !== undefined && root.pathLen < 1)
    throw refuse('path-length', 'the root allows no intermediate')
}

function requireIntermediate(intermediate: Certificate): void {
  requireCa(intermediate)
  // Ours are depth one: an intermediate that could make another is not of our making, whatever signed it.
  if (intermediate.pathLen !== 0)
    throw refuse('path-length', 'the intermediate does not limit its path to leaves')
}

function requireCa(certificate: Certificate): void {
  // RFC 5280 §6.1.4 (k), (n), and §4.2.1.9: the extension MUST be critical in a CA certificate.
  if (!certificate.isCa || !certificate.critical.has(OID.basicConstraints)) {
    throw refuse('not-a-ca', 'an issuer of the chain is not a certification authority')
  }
  if (!certificate.keyUsage.has('keyCertSign'))
    throw refuse('key-usage', 'an issuer of the chain may not sign certificates')
  requireUnderstood(certificate)
}

interface Issuance {
  readonly issuer: Certificate
  readonly at: number
  readonly checkSignature: CheckSignature
}

/** RFC 5280 §6.1.3 (a): signature, validity, issuer name. */
function requireIssued(subject: Certificate, { issuer, at, checkSignature }: Issuance): void {
  requireTime(subject, at)
  if (!sameBytes(subject.issuerDer, issuer.subjectDer))
    throw refuse('untrusted', 'the chain does not name its issuer')
  if (!keyIdsMatch(subject, issuer))
    throw refuse('untrusted', "the chain names another key of its issuer's name")
  requireUnderstood(subject)
  if (!checkSignature(subject, issuer)) throw refuse('signature', 'a signature of the chain does not verify')
}

/** RFC 5280 §6.1.4 (o), §6.1.5 (f): nothing critical is passed over. */
export function requireUnderstood(certificate: Certificate): void {
  if (certificate.unknownCritical.length > 0) {
    throw refuse(
      'unknown-critical',
      'a certificate of the chain has a critical extension that is not understood',
    )
  }
}

/** RFC 5280 §6.1.3 (b), (c): the names of `subject` lie within what `issuer` may name. */
export function requireNames(subject: Certificate, issuer: Certificate): void {
  const constraints = issuer.nameConstraints
  if (constraints === undefined) return
  const names = { ...subject.sans, emails: [...subject.sans.emails, ...subject.subjectEmails] }
  if (!namesAllowed(names, constraints)) {
    throw refuse('name-constraints', 'a name of the chain is outside of what its issuer may name')
  }
}

/** False if `subject` names another key than that of `issuer`; true where one of them names none. */
export function keyIdsMatch(subject: Certificate, issuer: Certificate): boolean {
  if (subject.authorityKeyId === undefined || issuer.subjectKeyId === undefined) return true
  return sameBytes(subject.authorityKeyId, issuer.subjectKeyId)
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}
