// Parses X.509 version 3 certificates, DER only. A Certificate that this made is well-formed and no more: nothing in
// it is proved until path.ts or svid.ts has looked at it.
import { sha256Text } from '#shared/encoding/digest.ts'
import { malformed, readDer, TAG, type DerReader } from './der.ts'
import { readExtensions, type Extensions } from './extensions.ts'
import { readName } from './name.ts'
import { readTime } from './time.ts'

export type { KeyUsage } from './extension-values.ts'

export interface Certificate extends Extensions {
  readonly der: Uint8Array
  readonly tbs: Uint8Array
  /** lower-case hex of the serial number's content octets */
  readonly serial: string
  readonly issuerDer: Uint8Array
  readonly subjectDer: Uint8Array
  readonly subjectIsEmpty: boolean
  /** emailAddress attributes of the subject, which RFC 5280 §4.2.1.10 holds to constraints too */
  readonly subjectEmails: readonly string[]
  /** milliseconds since 1970, first and last instant of validity */
  readonly notBefore: number
  readonly notAfter: number
  /** DER SubjectPublicKeyInfo */
  readonly spki: Uint8Array
  /** dotted identifier; equal inside and outside of what is signed */
  readonly signatureAlgorithm: string
  readonly signature: Uint8Array
  /** base64url SHA-256 of `der` */
  readonly thumbprint: string
  /** base64url SHA-256 of `spki`: the name of the key, whatever certificate it is in */
  readonly keyId: string
}

const MAX_BYTES = 16 * 1024

/**
 * Reads one DER certificate of RFC 5280 §4.1 that fills `der`. Throws ZT-422-CERT for BER, for versions other than 3,
 * for repeated extensions and for any field out of its bounds. Keeps a private copy of the bytes.
 */
export function parseCertificate(der: Uint8Array): Certificate {
  if (der.length > MAX_BYTES) throw malformed('certificate', 'is over 16384 bytes')
  const bytes = Uint8Array.from(der)
  const outer = readDer(bytes, TAG.sequence, 'certificate')
  const tbs = outer.expect(TAG.sequence)
  const algorithm = outer.expect(TAG.sequence)
  const signature = outer.wholeBits()
  outer.end()
  const fields = readTbs(outer.inside(tbs.content, 'certificate'))
  // RFC 5280 §4.1.1.2: MUST be the same in both places.
  if (Buffer.compare(fields.algorithmDer, algorithm.raw) !== 0) {
    throw malformed('certificate', 'names two signature algorithms')
  }
  return Object.freeze({
    ...fields.known,
    der: bytes,
    tbs: tbs.raw,
    signatureAlgorithm: outer.inside(algorithm.content).oid(),
    signature,
    thumbprint: sha256Text(bytes),
    keyId: sha256Text(fields.known.spki),
  })
}

type TbsFields = Omit<
  Certificate,
  'der' | 'tbs' | 'signatureAlgorithm' | 'signature' | 'thumbprint' | 'keyId'
>

function readTbs(tbs: DerReader): { known: TbsFields; algorithmDer: Uint8Array } {
  const version = tbs.enter(0xa0, 'certificate version')
  if (version.smallInteger() !== 2) throw malformed('certificate version', 'is not 3')
  version.end()
  const serial = readSerial(tbs)
  const algorithmDer = tbs.expect(TAG.sequence).raw
  const issuer = tbs.expect(TAG.sequence)
  const validity = tbs.enter(TAG.sequence, 'certificate validity')
  const notBefore = readTime(validity.element())
  const notAfter = readTime(validity.element())
  validity.end()
  const subject = tbs.expect(TAG.sequence)
  const spki = tbs.expect(TAG.sequence).raw
  const issuerName = readName(tbs.inside(issuer.content, 'certificate issuer'))
  // RFC 5280 §4.1.2.4: the issuer MUST be a non-empty distinguished name.
  if (issuerName.empty) throw malformed('certificate issuer', 'is empty')
  const subjectName = readName(tbs.inside(subject.content, 'certificate subject'))
  // The unique identifiers [1] and [2] MUST NOT be used (RFC 5280 §4.1.2.8): here they are a wrong tag.
  const wrapper = tbs.enter(0xa3, 'certificate extensions')
  const extensions = readExtensions(wrapper.enter(TAG.sequence))
  wrapper.end()
  tbs.end()
  return {
    algorithmDer,
    known: {
      ...extensions,
      subjectIsEmpty: subjectName.empty,
      subjectEmails: subjectName.emails,
      serial,
      issuerDer: issuer.raw,
      subjectDer: subject.raw,
      notBefore,
      notAfter,
      spki,
    },
  }
}

function readSerial(tbs: DerReader): string {
  const serial = tbs.integer()
  // RFC 5280 §4.1.2.2: positive, and no longer than 20 octets.
  const positive = ((serial[0] ?? 0x80) & 0x80) === 0 && serial.some((byte) => byte !== 0)
  if (!positive || serial.length > 20)
    throw malformed('certificate serial', 'is not a positive number of 20 octets at most')
  return Buffer.from(serial).toString('hex')
}
