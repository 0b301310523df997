// What a TPM's maker left in its non-volatile memory (TCG EK Credential Profile 2.5 §2.2.1): certificates, often with padding
// after them. Cut out here, and compared with a key; whether they are to be believed is the hub's to say.
import { isZtError } from '#shared/errors/error.ts'
import { DerReader, readDer, TAG } from '#shared/x509/der.ts'
import type { TpmPublic } from './public.ts'
import { spkiOfPublic } from './spki.ts'
import { malformedTpm } from './wire.ts'

const FIELD = 'endorsement certificate'
const MAX_CERTIFICATES = 8

/** The certificates at the start of `area`, each in its own bytes; what follows the last one is padding. */
export function certificatesInArea(area: Uint8Array): readonly Uint8Array[] {
  const certificates: Uint8Array[] = []
  let rest = area
  while (rest[0] === TAG.sequence && certificates.length < MAX_CERTIFICATES) {
    const { raw } = asTpm(() => new DerReader(rest, FIELD).element())
    certificates.push(new Uint8Array(raw))
    rest = rest.subarray(raw.length)
  }
  return certificates
}

/**
 * Whether `certificate` names the key of `area`: the same point, or the same modulus and exponent. The name of the
 * algorithm is not compared, since makers write rsaEncryption and RSAES-OAEP for the same use. Throws ZT-422-TPM.
 */
export function certifiesKey(certificate: Uint8Array, area: TpmPublic): boolean {
  return Buffer.compare(keyBits(subjectKey(certificate)), keyBits(spkiOfPublic(area))) === 0
}

function keyBits(spki: Uint8Array): Uint8Array {
  return asTpm(() => {
    const reader = readDer(spki, TAG.sequence, FIELD)
    reader.expect(TAG.sequence)
    const bits = reader.wholeBits()
    reader.end()
    return bits
  })
}

// RFC 5280 §4.1: version [0], serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo.
function subjectKey(certificate: Uint8Array): Uint8Array {
  return asTpm(() => {
    const fields = readDer(certificate, TAG.sequence, FIELD).enter(TAG.sequence)
    fields.optional(0xa0)
    fields.expect(TAG.integer)
    for (let skipped = 0; skipped < 4; skipped += 1) fields.expect(TAG.sequence)
    return fields.expect(TAG.sequence).raw
  })
}

function asTpm<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (!isZtError(error, 'ZT-422-CERT')) throw error
    throw malformedTpm(FIELD, 'is not one', error)
  }
}
