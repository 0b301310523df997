// Says whose a certificate chain is, by the rules of SPIFFE X509-SVID §5 and RFC 5280 §6. Trusts the bundle that it
// holds and nothing else: never the system's authorities, never a name that is not the one URI of the leaf.
import type { KeyObject } from 'node:crypto'
import { isZtError } from '#shared/errors/error.ts'
import { thumbprint } from '#shared/jose/keys.ts'
import { parseSpiffeId, trustDomainOf, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import { requireNewer, type TrustBundle } from './bundle.ts'
import { parseCertificate, type Certificate } from './certificate.ts'
import { ecPublicKey } from './ec-spki.ts'
import { OID } from './oid.ts'
import { isSignedBy, refuse, requireTime, validatePath, type ValidatedPath } from './path.ts'

/** What a chain has proved at the instant it was validated. */
export interface VerifiedSvid {
  readonly id: SpiffeId
  /** DER: leaf, then intermediate */
  readonly chain: readonly Uint8Array[]
  /** base64url SHA-256 of the leaf */
  readonly thumbprint: string
  /** P-256 */
  readonly publicKey: KeyObject
  /** UTC, milliseconds */
  readonly notBefore: number
  /** UTC, milliseconds */
  readonly notAfter: number
  /** base64url SHA-256 of the intermediate */
  readonly issuerThumbprint: string
}

interface Known {
  readonly svid: VerifiedSvid
  readonly path: ValidatedPath
}

const MAX_KNOWN_SVIDS = 4096
const MAX_KNOWN_INTERMEDIATES = 256

export class SvidValidator {
  #bundle: TrustBundle
  #revoked: ReadonlySet<string>
  // Both remember only what was proved under #bundle, oldest first; replaceBundle() empties them.
  readonly #svids = new Map<string, Known>()
  readonly #intermediates = new Set<string>()

  constructor(bundle: TrustBundle) {
    this.#bundle = bundle
    this.#revoked = new Set(bundle.revokedIntermediates)
  }

  get bundle(): TrustBundle {
    return this.#bundle
  }

  /**
   * Proves that `chain` (DER: leaf, intermediate) is an SVID of the bundle's trust domain, valid at `at` (milliseconds).
   * What was proved before is remembered, but time and revoked intermediates are looked at on every call.
   * Throws ZT-401-CERT with `details.reason` (a ChainRefusal).
   */
  validate(chain: readonly Uint8Array[], at: number): VerifiedSvid {
    const [leaf, intermediate] = chain
    if (leaf === undefined || intermediate === undefined || chain.length !== 2) {
      throw refuse('chain-length', 'the chain is not a leaf and one intermediate')
    }
    const key = `${thumbprint(leaf)} ${thumbprint(intermediate)}`
    const known = this.#svids.get(key)
    if (known !== undefined) return this.#again(known, at)
    const proved = this.#prove({ leaf: parseOfChain(leaf), intermediate: parseOfChain(intermediate) }, at)
    if (this.#svids.size >= MAX_KNOWN_SVIDS) forgetOldest(this.#svids)
    this.#svids.set(key, proved)
    return proved.svid
  }

  /** Trusts `bundle` from now on. Throws ZT-401-BUNDLE if it is older or of another trust domain. */
  replaceBundle(bundle: TrustBundle): void {
    requireNewer(bundle, this.#bundle)
    this.#bundle = bundle
    this.#revoked = new Set(bundle.revokedIntermediates)
    this.#svids.clear()
    this.#intermediates.clear()
  }

  #again({ svid, path }: Known, at: number): VerifiedSvid {
    for (const certificate of [path.root, path.intermediate, path.leaf]) requireTime(certificate, at)
    this.#requireNotRevoked(path.intermediate)
    return svid
  }

  #prove(pair: { leaf: Certificate; intermediate: Certificate }, at: number): Known {
    const path = validatePath(
      { leaf: pair.leaf, intermediates: [pair.intermediate], roots: this.#bundle.roots },
      at,
      (subject, issuer) => this.#checkSignature(subject, issuer),
    )
    this.#requireNotRevoked(path.intermediate)
    requireSigningNames(path.intermediate, this.#bundle.trustDomain)
    const id = requireSvid(path.leaf, this.#bundle.trustDomain)
    const { leaf, intermediate } = path
    const svid: VerifiedSvid = Object.freeze({
      id,
      chain: Object.freeze([leaf.der, intermediate.der]),
      thumbprint: leaf.thumbprint,
      publicKey: requireKey(leaf),
      notBefore: leaf.notBefore,
      notAfter: leaf.notAfter,
      issuerThumbprint: intermediate.thumbprint,
    })
    return { svid, path }
  }

  /** A root's signature is P-384, the dearest check here, and the same few intermediates come with every chain. */
  #checkSignature(subject: Certificate, issuer: Certificate): boolean {
    const key = `${subject.thumbprint} ${issuer.thumbprint}`
    if (this.#intermediates.has(key)) return true
    const holds = isSignedBy(subject, issuer)
    if (holds && subject.isCa) {
      if (this.#intermediates.size >= MAX_KNOWN_INTERMEDIATES) forgetOldest(this.#intermediates)
      this.#intermediates.add(key)
    }
    return holds
  }

  #requireNotRevoked(intermediate: Certificate): void {
    if (this.#revoked.has(intermediate.keyId)) {
      throw refuse('revoked-intermediate', 'the intermediate of the chain is revoked')
    }
  }
}

/** The rules for a leaf of ours: those of the standard, one trust domain, and no name that nothing here reads. */
function requireSvid(leaf: Certificate, trustDomain: string): SpiffeId {
  const id = requireLeaf(leaf)
  // Names of such forms could mean something to somebody else, and our authorities give none.
  if (leaf.sans.other.length > 0)
    throw refuse('uri-san', 'the leaf of the chain has a name of an unknown form')
  if (trustDomainOf(id) !== trustDomain) throw refuse('trust-domain', 'the leaf is of another trust domain')
  return id
}

/** The SPIFFE ID of a leaf by the rules of SPIFFE X509-SVID §4 and §5.2. ZT-401-CERT with `details.reason`. */
export function requireLeaf(leaf: Certificate): SpiffeId {
  if (leaf.isCa) throw refuse('leaf-is-ca', 'the leaf of the chain is a certification authority')
  const usage = leaf.keyUsage
  if (!usage.has('digitalSignature') || usage.has('keyCertSign') || usage.has('cRLSign')) {
    throw refuse('key-usage', 'the leaf of the chain is not for signatures alone')
  }
  if (!leaf.critical.has(OID.keyUsage)) throw refuse('key-usage', 'the key usage of the leaf is not critical')
  // §4.4: if the extension is there, it has both purposes.
  const uses = leaf.eku
  if (uses !== undefined && !(uses.includes(OID.serverAuth) && uses.includes(OID.clientAuth))) {
    throw refuse('extended-key-usage', 'the leaf of the chain is not for both ends of a connection')
  }
  // RFC 5280 §4.1.2.6: with an empty subject, the alternative name MUST be critical.
  if (leaf.subjectIsEmpty && !leaf.critical.has(OID.subjectAltName)) {
    throw refuse('subject', 'the leaf of the chain has neither a subject nor a critical alternative name')
  }
  const [uri, second] = leaf.sans.uris
  // §5.2: exactly one URI.
  if (uri === undefined || second !== undefined) {
    throw refuse('uri-san', 'the leaf of the chain does not have exactly one uri name')
  }
  return parseId(uri)
}

/** SPIFFE X509-SVID §3.2: the SPIFFE ID of a signing certificate, if it has one, is its own trust domain's. */
function requireSigningNames(intermediate: Certificate, trustDomain: string): void {
  const { uris } = intermediate.sans
  if (uris.some((uri) => uri !== `spiffe://${trustDomain}`)) {
    throw refuse('trust-domain', 'the intermediate is named with something else than its trust domain')
  }
}

function requireKey(leaf: Certificate): KeyObject {
  try {
    return ecPublicKey(leaf.spki, 'P-256')
  } catch (error) {
    throw refuse('algorithm', 'the key of the leaf is not on P-256', error)
  }
}

function parseId(uri: string): SpiffeId {
  try {
    return parseSpiffeId(uri)
  } catch (error) {
    throw refuse('spiffe-id', 'the uri name of the leaf is not a spiffe id', error)
  }
}

/** One certificate of a chain. ZT-401-CERT (malformed). */
export function parseOfChain(der: Uint8Array): Certificate {
  try {
    return parseCertificate(der)
  } catch (error) {
    if (!isZtError(error, 'ZT-422-CERT')) throw error
    throw refuse('malformed', `the chain cannot be read: ${error.message}`, error)
  }
}

function forgetOldest(known: Map<string, unknown> | Set<string>): void {
  for (const oldest of known.keys()) {
    known.delete(oldest)
    return
  }
}
