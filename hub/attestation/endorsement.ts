// T1 to T3: that an endorsement key is one which a TPM vendor vouches for, is the key of its certificate, has a form that
// only decrypts, and is not barred here. Who holds it is proved later, by activation.ts.
import { createHash } from 'node:crypto'
import { ZtError } from '#shared/errors/error.ts'
import { parsePublic2b, type TpmPublic } from '#shared/tpm/public.ts'
import { spkiOfPublic } from '#shared/tpm/spki.ts'
import { readEkCertificate, withoutNvPadding, type EkCertificate } from './ek-certificate.ts'
import { proveEkChain, TCG_KP_EK_CERTIFICATE, type EkAuthorities } from './ek-chain.ts'
import type { TpmMake } from './ek-extensions.ts'
import { hasEkTemplate } from './ek-template.ts'
import { MAX_PUBLIC_BYTES, type EndorsementEvidence } from './evidence.ts'
import { readAs, refuse, requireSize } from './refusal.ts'
import { isWeakModulus } from './weak-rsa.ts'

export interface EndorsementTrust extends EkAuthorities {
  /** lower-case hex SHA-256 of EKs' public keys (DER): never admitted, whoever made them */
  readonly denied: ReadonlySet<string>
  /** if given, only these are admitted */
  readonly allowed?: ReadonlySet<string>
}

export interface VerifiedEk extends TpmMake {
  /** lower-case hex SHA-256 of `spki`: what a machine is registered under */
  readonly sha256: string
  readonly public: TpmPublic
  /** DER SubjectPublicKeyInfo */
  readonly spki: Uint8Array
  /** lower-case hex SHA-256 of the root certificate that the chain ends in */
  readonly root: string
}

// T11: an EK certificate and the issuers that a TPM may hold beside it.
const MAX_CERTIFICATES = 4

/**
 * T1, T2, T3. `now` is UTC milliseconds. Throws ZT-401-TPM-EK-CERT (no EK certificate), ZT-401-TPM-EK-CHAIN (no vendor that
 * is trusted here), ZT-401-TPM-EK (another key than the certificate's, or a weak one), ZT-401-TPM-EK-TEMPLATE, ZT-403-TPM-EK (barred),
 * ZT-413-SIZE and ZT-422-TPM.
 */
export function verifyEndorsement(
  evidence: EndorsementEvidence,
  trust: EndorsementTrust,
  now: number,
): VerifiedEk {
  const { leaf, others } = readCertificates(evidence.certificates)
  const make = requireEkProfile(leaf)
  const intermediates = [...trust.intermediates, ...others]
  const root = proveEkChain(leaf, { roots: trust.roots, intermediates }, now).at(-1)
  requireSize(evidence.public, MAX_PUBLIC_BYTES, 'the EK')
  const area = parsePublic2b(evidence.public)
  const spki = spkiOfPublic(area)
  // A11: without this, the certificate of one TPM would vouch for the key of another (CVE-2021-3406).
  if (Buffer.compare(spki, leaf.key.spki) !== 0)
    throw refuse('ZT-401-TPM-EK', 'key', 'the EK is not the key of its certificate')
  if (!hasEkTemplate(area))
    throw refuse('ZT-401-TPM-EK-TEMPLATE', 'template', 'the EK does not have the form of a TCG template')
  if (area.type === 'rsa' && isWeakModulus(area.unique))
    throw refuse('ZT-401-TPM-EK', 'weak-key', 'the EK can be factored (CVE-2017-15361)')
  const sha256 = hexDigest(spki)
  requireAdmitted(sha256, trust)
  return Object.freeze({ ...make, sha256, public: area, spki, root: hexDigest(root?.der ?? leaf.der) })
}

/**
 * T1 and T3 of an EK that was verified before, under what is configured now: the root that its chain ended in must still be
 * named, and the EK admitted. Throws ZT-401-TPM-EK-CHAIN and ZT-403-TPM-EK.
 */
export function requireStillTrusted(
  { sha256, root }: Pick<VerifiedEk, 'sha256' | 'root'>,
  trust: EndorsementTrust,
): void {
  if (!trust.roots.some(({ der }) => hexDigest(der) === root))
    throw refuse(
      'ZT-401-TPM-EK-CHAIN',
      'untrusted',
      'the root of the EK certificate is not configured any more',
    )
  requireAdmitted(sha256, trust)
}

function readCertificates(certificates: readonly Uint8Array[]): {
  readonly leaf: EkCertificate
  readonly others: readonly EkCertificate[]
} {
  const [first, ...rest] = certificates
  if (first === undefined) throw refuse('ZT-401-TPM-EK-CERT', 'missing', 'there is no EK certificate')
  if (certificates.length > MAX_CERTIFICATES)
    throw new ZtError('ZT-413-SIZE', `there are more than ${MAX_CERTIFICATES} certificates with the EK`)
  return readAs('ZT-401-TPM-EK-CERT', 'the EK certificate', () => ({
    // Only what stands in an NV index may be longer than its certificate.
    leaf: readEkCertificate(withoutNvPadding(first)),
    others: rest.map((der) => readEkCertificate(der)),
  }))
}

/** T1: what an EK certificate must and must not say (TCG EK Credential Profile §3.2). */
function requireEkProfile({ isCa, key, keyUsage, eku, make }: EkCertificate): TpmMake {
  const refused = (reason: string, what: string): ZtError =>
    refuse('ZT-401-TPM-EK-CERT', reason, `the EK certificate ${what}`)
  if (isCa) throw refused('is-ca', 'is that of a certification authority')
  if (keyUsage.has('keyCertSign') || keyUsage.has('cRLSign') || keyUsage.has('digitalSignature'))
    throw refused('key-usage', 'lets its key sign')
  if (!keyUsage.has(key.type === 'rsa' ? 'keyEncipherment' : 'keyAgreement'))
    throw refused('key-usage', 'does not let its key protect secrets')
  if (eku !== undefined && !eku.includes(TCG_KP_EK_CERTIFICATE))
    throw refused('extended-key-usage', 'is for another purpose')
  if (make === undefined) throw refused('subject-alt-name', 'does not name the TPM that it is of')
  return make
}

/** T3 */
function requireAdmitted(sha256: string, { denied, allowed }: EndorsementTrust): void {
  if (denied.has(sha256)) throw refuse('ZT-403-TPM-EK', 'denied', 'the EK is on the deny list')
  if (allowed !== undefined && !allowed.has(sha256))
    throw refuse('ZT-403-TPM-EK', 'not-allowed', 'the EK is not on the allow list')
}

function hexDigest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
