// Signs one certificate, in the order that CA ceremonies have settled on: lint with a key that is thrown away, sign, see
// that the very bytes came back signed, read it again, verify it with code that is not ours, lint it again.
import { X509Certificate } from 'node:crypto'
import { sha256 } from '#shared/encoding/digest.ts'
import { ZtError } from '#shared/errors/error.ts'
import { parseCertificate, type Certificate } from '#shared/x509/certificate.ts'
import { ecPublicKey } from '#shared/x509/ec-spki.ts'
import { isCanonicalSignature } from '#shared/x509/ecdsa-signature.ts'
import type { Facts } from '#shared/protocol/ceremony-transcript.ts'
import { assembleCertificate, buildTbs, serialNumber, type Template } from '../issuance/tbs.ts'
import type { KeyStore, StoredKey } from '../keystore/keystore.ts'
import { LintedTbs, lintCertificate } from '../lint/lint.ts'
import type { LintContext } from '../lint/rule.ts'
import { refuse } from './fields.ts'
import type { Transcript } from './transcript.ts'

export interface CertificatePlan {
  /** for people, in the transcript */
  readonly what: string
  readonly template: Omit<Template, 'serial'>
  readonly context: LintContext
}

/** What signs, and where it is written down. */
export interface Signing {
  readonly keys: KeyStore
  readonly key: StoredKey
  readonly transcript: Transcript
}

/**
 * The certificate of `plan`, signed by `signing.key` and checked. Throws ZT-412-LINT for a broken rule (nothing was
 * signed, unless the details say so), ZT-500-KEYSTORE for a signature that other code does not verify.
 */
export async function certify(
  plan: CertificatePlan,
  { keys, key, transcript }: Signing,
): Promise<Certificate> {
  // C7: the serial number comes from the token's generator.
  const tbs = buildTbs({ ...plan.template, serial: serialNumber(await keys.random(16)) })
  const linted = LintedTbs.check(tbs, plan.context)
  await transcript.write('linted', { what: plan.what, tbs: hex(tbs) })
  const signed = linted.redeem()
  const der = assembleCertificate(signed, key.curve, await key.sign(signed))
  const certificate = parseCertificate(der)
  if (Buffer.compare(certificate.tbs, tbs) !== 0)
    throw failed('the signed bytes are not those that were linted')
  verifyElsewhere(certificate, key.spki)
  lintCertificate(certificate, plan.context)
  await transcript.write('signed', signedFacts(plan.what, certificate))
  return certificate
}

/**
 * Goes over a certificate again, with public things alone: it is what `plan` says to the last octet, but for its serial
 * number, signed by the key of `issuerSpki`. Throws as certify(), and ZT-422-CEREMONY for other bytes.
 */
export function recheck(certificate: Certificate, plan: CertificatePlan, issuerSpki: Uint8Array): void {
  const serial = Buffer.from(certificate.serial, 'hex')
  if (Buffer.compare(buildTbs({ ...plan.template, serial }), certificate.tbs) !== 0)
    throw refuse(`certificate "${plan.what}" is not what the ceremony file says`)
  LintedTbs.check(certificate.tbs, plan.context)
  lintCertificate(certificate, plan.context)
  if (!isCanonicalSignature(certificate.signature, plan.context.profile.issuerCurve))
    throw refuse(`certificate "${plan.what}" has a signature that is not canonical`)
  verifyElsewhere(certificate, issuerSpki)
}

/** What a transcript says of a certificate. */
export function signedFacts(what: string, certificate: Certificate): Facts {
  const { serial, tbs, der } = certificate
  return { what, serial, tbs: hex(tbs), certificate: hex(der) }
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(sha256(bytes)).toString('hex')
}

/** OpenSSL reads and verifies what our own code made. */
function verifyElsewhere(certificate: Certificate, issuerSpki: Uint8Array): void {
  const other = new X509Certificate(Buffer.from(certificate.der))
  if (!other.verify(ecPublicKey(issuerSpki, 'P-384'))) throw failed('openssl does not verify the signature')
  const same =
    other.ca === certificate.isCa &&
    other.serialNumber.toLowerCase() === certificate.serial &&
    Date.parse(other.validTo) === certificate.notAfter &&
    Date.parse(other.validFrom) === certificate.notBefore &&
    other.subjectAltName === certificate.sans.uris.map((uri) => `URI:${uri}`).join(', ')
  if (!same) throw failed('openssl reads the certificate otherwise than we do')
}

export function failed(what: string): ZtError {
  return new ZtError('ZT-500-KEYSTORE', `ceremony: ${what}`)
}
