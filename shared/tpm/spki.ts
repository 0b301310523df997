// The public key of a TPM object in the form that certificates have it (RFC 5480, RFC 8017 A.1).
import { createPublicKey, type KeyObject } from 'node:crypto'
import * as write from '#shared/x509/der-writer.ts'
import { TAG } from '#shared/x509/der.ts'
import { coordinateBytes, ecPublicKey, ecSpki } from '#shared/x509/ec-spki.ts'
import { OID } from '#shared/x509/oid.ts'
import type { EccPublic, RsaPublic, TpmPublic } from './public.ts'
import { malformedTpm } from './wire.ts'

const EXPONENT = 65_537
const FIELD = 'tpm public key'

/**
 * DER of the SubjectPublicKeyInfo. Throws ZT-422-TPM for what is no key: a point that is not on its curve, a modulus
 * that is not of its length or is even, an exponent other than 65537, sealed data.
 */
export function spkiOfPublic(area: TpmPublic): Uint8Array {
  switch (area.type) {
    case 'rsa':
      return rsaSpki(area)
    case 'ecc':
      return pointSpki(area)
    case 'keyedHash':
      throw malformedTpm(FIELD, 'is none: sealed data')
  }
}

/** The key itself, for node:crypto; throws ZT-422-TPM as spkiOfPublic() does. */
export function keyOfPublic(area: TpmPublic): KeyObject {
  return createPublicKey({ key: Buffer.from(spkiOfPublic(area)), format: 'der', type: 'spki' })
}

/** A coordinate in the full length of its curve; throws ZT-422-TPM if it is longer. */
export function fullCoordinate(coordinate: Uint8Array, curve: EccPublic['curve']): Uint8Array {
  const length = coordinateBytes(curve)
  if (coordinate.length > length || coordinate.length === 0)
    throw malformedTpm(FIELD, `has a coordinate of ${coordinate.length} bytes on ${curve}`)
  const full = new Uint8Array(length)
  full.set(coordinate, length - coordinate.length)
  return full
}

function pointSpki({ curve, unique }: EccPublic): Uint8Array {
  const point = [4, ...fullCoordinate(unique.x, curve), ...fullCoordinate(unique.y, curve)]
  const spki = ecSpki(Uint8Array.from(point), curve)
  try {
    ecPublicKey(spki, curve)
  } catch (error) {
    throw malformedTpm(FIELD, `is not a point of ${curve}`, error)
  }
  return spki
}

function rsaSpki({ keyBits, exponent, unique }: RsaPublic): Uint8Array {
  const first = unique[0] ?? 0
  const last = unique[unique.length - 1] ?? 0
  if (unique.length !== keyBits / 8 || first < 0x80 || (last & 1) === 0)
    throw malformedTpm(FIELD, `is not an rsa modulus of ${keyBits} bits`)
  // Part 2 §12.2.3.5: 0 stands for 65537. No TPM makes another one unasked, and a small one weakens every check of a signature.
  if (exponent !== 0 && exponent !== EXPONENT) throw malformedTpm(FIELD, `has the exponent ${exponent}`)
  const key = write.sequence(write.integer(unique), write.integer(Uint8Array.of(1, 0, 1)))
  const algorithm = write.sequence(write.oid(OID.rsaEncryption), write.der(TAG.null))
  return write.sequence(algorithm, write.wholeBits(key))
}
