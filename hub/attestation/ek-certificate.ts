// Reads a certificate of a TPM vendor: an EK certificate or one of its issuers (TCG EK Credential Profile 2.x over RFC
// 5280). Our own parseCertificate takes only our own profile, so this reads what vendors write: RSA keys, and the name of
// the TPM in a directoryName. DER only. What it returns is well-formed, and nothing of it is proved.
import { ZtError } from '#shared/errors/error.ts'
import { malformed, readDer, TAG, type DerReader } from '#shared/x509/der.ts'
import { readTime } from '#shared/x509/time.ts'
import { readCertificateKey, type CertificateKey } from './certificate-key.ts'
import { readSignatureScheme, type SignatureScheme } from './certificate-signature.ts'
import { readEkExtensions, type EkExtensions } from './ek-extensions.ts'

export interface EkCertificate extends EkExtensions {
  readonly der: Uint8Array
  readonly tbs: Uint8Array
  readonly issuerDer: Uint8Array
  readonly subjectDer: Uint8Array
  /** milliseconds since 1970, first and last instant of validity */
  readonly notBefore: number
  readonly notAfter: number
  readonly key: CertificateKey
  readonly scheme: SignatureScheme
  readonly signature: Uint8Array
}

export const MAX_EK_CERTIFICATE_BYTES = 8192

/**
 * Reads one certificate that fills `der`. Throws ZT-422-CERT for anything that is not DER, not version 3, not of an
 * accepted key or signature algorithm, or out of bounds. Keeps a private copy of the bytes.
 */
export function readEkCertificate(der: Uint8Array): EkCertificate {
  if (der.length > MAX_EK_CERTIFICATE_BYTES)
    throw malformed('certificate', `is over ${MAX_EK_CERTIFICATE_BYTES} bytes`)
  const bytes = Uint8Array.from(der)
  const outer = readDer(bytes, TAG.sequence, 'certificate')
  const tbs = outer.expect(TAG.sequence)
  const algorithm = outer.expect(TAG.sequence).raw
  const signature = outer.wholeBits()
  outer.end()
  const { signedAlgorithm, ...fields } = readTbs(outer.inside(tbs.content, 'certificate'))
  // RFC 5280 §4.1.1.2: MUST be the same in both places.
  if (Buffer.compare(signedAlgorithm, algorithm) !== 0)
    throw malformed('certificate', 'names two signature algorithms')
  const scheme = readSignatureScheme(algorithm)
  return Object.freeze({ ...fields, der: bytes, tbs: tbs.raw, scheme, signature })
}

/**
 * The certificate in what was read from an NV index, which may be longer than it (TCG PC Client Platform TPM Profile
 * §4.5.1): cut by its own DER length, and what follows must be erased memory, all 0x00 or all 0xff. Throws ZT-422-CERT.
 */
export function withoutNvPadding(nv: Uint8Array): Uint8Array {
  const [tag, first = 0, high = 0, low = 0] = nv
  // A certificate has 256 to 65535 bytes, hence always this form of its length.
  if (tag !== TAG.sequence || first !== 0x82) throw malformed('certificate', 'does not begin as one')
  const length = 4 + high * 256 + low
  if (length > nv.length) throw malformed('certificate', 'is cut short')
  const padding = nv.subarray(length)
  const erased = padding.every((byte) => byte === 0x00) || padding.every((byte) => byte === 0xff)
  if (!erased) throw malformed('certificate', 'is followed by bytes that are no padding')
  return nv.subarray(0, length)
}

/** Throws ZT-400-CONFIG: for roots and intermediates that an operator configured. */
export function readConfiguredAuthority(der: Uint8Array, name: string): EkCertificate {
  try {
    return readEkCertificate(der)
  } catch (cause) {
    throw new ZtError('ZT-400-CONFIG', `${name} is not a certificate that is accepted`, { cause })
  }
}

type Fields = Omit<EkCertificate, 'der' | 'tbs' | 'scheme' | 'signature'>

function readTbs(tbs: DerReader): Fields & { readonly signedAlgorithm: Uint8Array } {
  const version = tbs.enter(0xa0, 'certificate version')
  if (version.smallInteger() !== 2) throw malformed('certificate version', 'is not 3')
  version.end()
  readSerial(tbs)
  const signedAlgorithm = tbs.expect(TAG.sequence).raw
  const issuer = tbs.expect(TAG.sequence)
  // RFC 5280 §4.1.2.4: the issuer MUST be a non-empty distinguished name. Names are compared as bytes and read no further.
  if (issuer.content.length === 0) throw malformed('certificate issuer', 'is empty')
  const validity = tbs.enter(TAG.sequence, 'certificate validity')
  const notBefore = readTime(validity.element())
  const notAfter = readTime(validity.element())
  validity.end()
  const subject = tbs.expect(TAG.sequence)
  const key = readCertificateKey(tbs.expect(TAG.sequence).raw)
  const wrapper = tbs.enter(0xa3, 'certificate extensions')
  const extensions = readEkExtensions(wrapper.enter(TAG.sequence))
  wrapper.end()
  tbs.end()
  return {
    ...extensions,
    signedAlgorithm,
    issuerDer: issuer.raw,
    subjectDer: subject.raw,
    notBefore,
    notAfter,
    key,
  }
}

function readSerial(tbs: DerReader): void {
  const serial = tbs.integer()
  // RFC 5280 §4.1.2.2: positive, and no longer than 20 octets; "should handle" zero, which nobody needs.
  const positive = (serial[0] ?? 0x80) < 0x80 && serial.some((byte) => byte !== 0)
  if (!positive || serial.length > 20)
    throw malformed('certificate serial', 'is not a positive number of 20 octets at most')
}
