// T1: proves that an EK certificate was made by a vendor that the operator trusts (RFC 5280 §6.1 for the chains that TPM
// vendors build). Roots and intermediates come from configuration; a node may add intermediates, never a root.
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { OID } from '#shared/x509/oid.ts'
import { signatureHolds } from './certificate-signature.ts'
import type { EkCertificate } from './ek-certificate.ts'

export interface EkAuthorities {
  readonly roots: readonly EkCertificate[]
  readonly intermediates: readonly EkCertificate[]
}

/** Why a chain proves nothing; carried as `details.reason` of ZT-401-TPM-EK-CHAIN. */
export type EkChainRefusal =
  | 'effort'
  | 'expired'
  | 'extended-key-usage'
  | 'key-usage'
  | 'not-a-ca'
  | 'not-understood'
  | 'not-yet-valid'
  | 'path-length'
  | 'signature'
  | 'untrusted'

// T11: issuers above the EK certificate, the root among them; and signatures that one request may make us check.
const MAX_ISSUERS = 4
const MAX_SIGNATURES = 16

export const TCG_KP_EK_CERTIFICATE = '2.23.133.8.1'
const ANY_EXTENDED_KEY_USAGE = '2.5.29.37.0'

/**
 * The chain from `leaf` to one of the roots at the instant `at` (milliseconds), leaf first: names, signatures, validity,
 * CA flags, path lengths, and no critical extension that is not enforced. Throws ZT-401-TPM-EK-CHAIN.
 */
export function proveEkChain(leaf: EkCertificate, from: EkAuthorities, at: number): readonly EkCertificate[] {
  requireUsable(leaf, at)
  return new ChainSearch(from, at).from(leaf)
}

class ChainSearch {
  readonly #authorities: EkAuthorities
  readonly #at: number
  #signatures = 0
  // What kept the last path from holding: that is what the operator wants to read.
  #refusal = refuse('untrusted', 'the EK certificate does not lead to a configured root')

  constructor(authorities: EkAuthorities, at: number) {
    this.#authorities = authorities
    this.#at = at
  }

  from(leaf: EkCertificate): readonly EkCertificate[] {
    const path = this.#extend([], leaf)
    if (path === undefined) throw this.#refusal
    return path
  }

  /** `below` and `end`, and the first way up from `end` that holds: roots before intermediates. */
  #extend(below: readonly EkCertificate[], end: EkCertificate): readonly EkCertificate[] | undefined {
    const { roots, intermediates } = this.#authorities
    const path = [...below, end]
    const root = roots.find((candidate) => this.#made(end, candidate, below.length))
    if (root !== undefined) return [...path, root]
    if (path.length >= MAX_ISSUERS) return undefined
    for (const candidate of intermediates) {
      if (path.includes(candidate) || !this.#made(end, candidate, below.length)) continue
      const whole = this.#extend(path, candidate)
      if (whole !== undefined) return whole
    }
    return undefined
  }

  /** True if `issuer`, which is to have `below` issuers under it, made `end`; remembers why not if it is so named. */
  #made(end: EkCertificate, issuer: EkCertificate, below: number): boolean {
    if (!isNamedIssuer(end, issuer)) return false
    try {
      requireUsable(issuer, this.#at)
      requireAuthority(issuer, below)
      this.#requireSigned(end, issuer)
      return true
    } catch (error) {
      if (!isZtError(error, 'ZT-401-TPM-EK-CHAIN')) throw error
      this.#refusal = error
      return false
    }
  }

  #requireSigned(subject: EkCertificate, { key }: EkCertificate): void {
    this.#signatures += 1
    if (this.#signatures > MAX_SIGNATURES) throw refuse('effort', 'the EK chain takes too many signatures')
    if (!signatureHolds({ scheme: subject.scheme, issuer: key }, subject.tbs, subject.signature))
      throw refuse('signature', 'a signature of the EK chain does not verify')
  }
}

function isNamedIssuer(subject: EkCertificate, issuer: EkCertificate): boolean {
  if (!sameBytes(subject.issuerDer, issuer.subjectDer)) return false
  // The identifiers only choose among issuers of one name; the signature is what counts.
  if (subject.authorityKeyId === undefined || issuer.subjectKeyId === undefined) return true
  return sameBytes(subject.authorityKeyId, issuer.subjectKeyId)
}

/** Both ends of the period belong to it (RFC 5280 §4.1.2.5); `at` has milliseconds, the certificate has none. */
function requireUsable({ notBefore, notAfter, notUnderstood }: EkCertificate, at: number): void {
  if (!(at >= notBefore)) throw refuse('not-yet-valid', 'a certificate of the EK chain is not valid yet')
  if (!(at < notAfter + 1000)) throw refuse('expired', 'a certificate of the EK chain has expired')
  if (notUnderstood.length > 0)
    throw refuse(
      'not-understood',
      'a certificate of the EK chain has a critical extension that is not understood',
    )
}

/** RFC 5280 §6.1.4 (k) to (n): `issuer` may sign certificates, with `below` issuers under it; the leaf does not count. */
function requireAuthority(issuer: EkCertificate, below: number): void {
  if (!issuer.isCa || !issuer.critical.has(OID.basicConstraints))
    throw refuse('not-a-ca', 'an issuer of the EK chain is not a certification authority')
  if (!issuer.keyUsage.has('keyCertSign'))
    throw refuse('key-usage', 'an issuer of the EK chain may not sign certificates')
  if (issuer.pathLen !== undefined && issuer.pathLen < below)
    throw refuse('path-length', 'an issuer of the EK chain allows fewer issuers below it')
  const { eku } = issuer
  if (eku !== undefined && !eku.includes(TCG_KP_EK_CERTIFICATE) && !eku.includes(ANY_EXTENDED_KEY_USAGE))
    throw refuse('extended-key-usage', 'an issuer of the EK chain may not issue EK certificates')
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

function refuse(reason: EkChainRefusal, message: string): ZtError {
  return new ZtError('ZT-401-TPM-EK-CHAIN', message, { details: { reason } })
}
