// Says whose a chain of another trust domain is, by SPIFFE X509-SVID §5 and RFC 5280 §6. Others have keys and hierarchies
// that ours does not: RSA and three curves, no intermediate or several. Only the bundle of the SVID's own trust domain
// is ever looked at, so no trust domain can speak for another (SPIFFE Federation §7.3).
import { verify, type KeyObject } from 'node:crypto'
import { isZtError, type ZtError } from '#shared/errors/error.ts'
import type { TrustDomain } from '#shared/identity/names.ts'
import { trustDomainOf, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import type { Certificate } from '#shared/x509/certificate.ts'
import { OID } from '#shared/x509/oid.ts'
import { keyIdsMatch, refuse, requireNames, requireTime, requireUnderstood } from '#shared/x509/path.ts'
import { parseOfChain, requireLeaf } from '#shared/x509/svid.ts'
import { authorityKey, hasSpiffePath, type BundleDocument } from './bundle-document.ts'

export interface ForeignSvid {
  readonly id: SpiffeId
  readonly publicKey: KeyObject
  /** UTC, milliseconds */
  readonly notBefore: number
  /** UTC, milliseconds */
  readonly notAfter: number
}

/** The newest bundle of a trust domain; undefined for one that is not trusted at all. */
export type BundleSource = (trustDomain: TrustDomain) => BundleDocument | undefined

const MAX_CHAIN = 8
/** Paths that are tried before the chain is refused: certificates of the same name multiply them. */
const MAX_PATHS = 16

/**
 * Proves that `chain` (DER, leaf first) is an SVID of a trust domain that `bundles` knows, valid at `at` (milliseconds).
 * Throws ZT-401-CERT with `details.reason` (a ChainRefusal).
 */
export function verifyForeignSvid(
  chain: readonly Uint8Array[],
  bundles: BundleSource,
  at: number,
): ForeignSvid {
  if (chain.length > MAX_CHAIN)
    throw refuse('chain-length', `the chain has more than ${MAX_CHAIN} certificates`)
  const [leaf, ...others] = chain.map(parseOfChain)
  if (leaf === undefined) throw refuse('chain-length', 'the chain is empty')
  const id = requireLeaf(leaf)
  const bundle = bundles(trustDomainOf(id))
  if (bundle === undefined) throw refuse('trust-domain', 'the leaf is of a trust domain that is not known')
  new PathSearch(others, bundle.x509Authorities, at).requirePath(leaf)
  const publicKey = keyOf(leaf)
  return Object.freeze({ id, publicKey, notBefore: leaf.notBefore, notAfter: leaf.notAfter })
}

/** Tries every way from a leaf up to an authority, by names; what a way is worth is decided when it is complete. */
class PathSearch {
  readonly #others: readonly Certificate[]
  readonly #authorities: readonly Certificate[]
  readonly #at: number
  #tried = 0
  #firstRefusal: ZtError | undefined

  constructor(others: readonly Certificate[], authorities: readonly Certificate[], at: number) {
    this.#others = others
    this.#authorities = authorities
    this.#at = at
  }

  /** Throws ZT-401-CERT with the refusal of the first path that was tried, or `untrusted` if there is none. */
  requirePath(leaf: Certificate): void {
    if (this.#climb([leaf])) return
    throw this.#firstRefusal ?? refuse('untrusted', 'the chain does not lead to a key of its trust domain')
  }

  #climb(path: readonly Certificate[]): boolean {
    const top = path.at(-1)
    if (top === undefined) return false
    if (this.#authorities.some((anchor) => names(top, anchor) && this.#holds([...path, anchor]))) return true
    return this.#others.some(
      (next) => !path.includes(next) && names(top, next) && this.#climb([...path, next]),
    )
  }

  #holds(path: readonly Certificate[]): boolean {
    if (this.#tried >= MAX_PATHS) return false
    this.#tried += 1
    try {
      validateForeignPath(path, this.#at)
      return true
    } catch (error) {
      if (!isZtError(error, 'ZT-401-CERT')) throw error
      this.#firstRefusal ??= error
      return false
    }
  }
}

const names = (subject: Certificate, issuer: Certificate): boolean =>
  sameBytes(subject.issuerDer, issuer.subjectDer) && keyIdsMatch(subject, issuer)

/** RFC 5280 §6.1 for a path from the leaf up to the anchor, which is trusted as given but held to what it says itself. */
function validateForeignPath(path: readonly Certificate[], at: number): void {
  for (const certificate of path) {
    requireTime(certificate, at)
    requireUnderstood(certificate)
  }
  path.slice(1).forEach((authority, index) => {
    const below = path.slice(0, index + 1)
    requireAuthority(authority, below)
    for (const subject of below) {
      // §6.1.3 (b), (c): a certificate that an authority gave to itself is held to no names, unless it is the last.
      if (subject === path[0] || !isSelfIssued(subject)) requireNames(subject, authority)
    }
    const [subject] = below.slice(-1)
    if (subject === undefined || !isSignedByForeign(subject, authority))
      throw refuse('signature', 'a signature of the chain does not verify')
  })
}

/** RFC 5280 §6.1.4 (k) to (n) and SPIFFE X509-SVID §3.2, §4.3; `below` is what the authority stands above. */
function requireAuthority(authority: Certificate, below: readonly Certificate[]): void {
  if (!authority.isCa) throw refuse('not-a-ca', 'an issuer of the chain is not a certification authority')
  if (!authority.keyUsage.has('keyCertSign'))
    throw refuse('key-usage', 'an issuer of the chain may not sign certificates')
  // §4.2.1.9: how many intermediates that are not self-issued may follow, the leaf not counted.
  const intermediates = below.slice(1).filter((certificate) => !isSelfIssued(certificate)).length
  if (authority.pathLen !== undefined && authority.pathLen < intermediates)
    throw refuse('path-length', 'an issuer of the chain does not allow as many intermediates')
  if (authority.sans.uris.some(hasSpiffePath))
    throw refuse('spiffe-id', 'an issuer of the chain has a spiffe id with a path')
}

const isSelfIssued = ({ issuerDer, subjectDer }: Certificate): boolean => sameBytes(issuerDer, subjectDer)

const ALGORITHMS: ReadonlyMap<string, { readonly type: 'ec' | 'rsa'; readonly hash: string }> = new Map([
  [OID.ecdsaWithSha256, { type: 'ec', hash: 'sha256' }],
  [OID.ecdsaWithSha384, { type: 'ec', hash: 'sha384' }],
  [OID.ecdsaWithSha512, { type: 'ec', hash: 'sha512' }],
  [OID.sha256WithRsa, { type: 'rsa', hash: 'sha256' }],
  [OID.sha384WithRsa, { type: 'rsa', hash: 'sha384' }],
  [OID.sha512WithRsa, { type: 'rsa', hash: 'sha512' }],
])

function isSignedByForeign(subject: Certificate, issuer: Certificate): boolean {
  const algorithm = ALGORITHMS.get(subject.signatureAlgorithm)
  const key = keyOf(issuer)
  if (algorithm === undefined || algorithm.type !== key.asymmetricKeyType)
    throw refuse('algorithm', 'a certificate of the chain is signed with an algorithm that is not taken')
  return verify(algorithm.hash, subject.tbs, { key, dsaEncoding: 'der' }, subject.signature)
}

function keyOf(certificate: Certificate): KeyObject {
  try {
    return authorityKey(certificate)
  } catch (cause) {
    if (!isZtError(cause)) throw cause
    throw refuse('algorithm', `a certificate of the chain cannot be used: ${cause.message}`, cause)
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}
