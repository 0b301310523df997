// ECDSA with the hash that belongs to the curve, and the two forms of its signatures.
import { verify, type KeyObject } from 'node:crypto'
import { integer, sequence } from '#shared/x509/der-writer.ts'
import { readDer, TAG } from '#shared/x509/der.ts'
import { coordinateBytes, ecPublicKey, type Curve } from '#shared/x509/ec-spki.ts'
import { keystoreFailed } from './keystore.ts'

/** RFC 5480 §4: the hash of the curve's strength. */
export function hashOf(curve: Curve): 'sha256' | 'sha384' {
  return curve === 'P-256' ? 'sha256' : 'sha384'
}

/** `r || s`, as PKCS#11 and JWS have it, into the DER that certificates have. Throws ZT-500-KEYSTORE. */
export function derSignature(raw: Uint8Array, curve: Curve): Uint8Array {
  const half = coordinateBytes(curve)
  if (raw.length !== 2 * half) throw keystoreFailed('a signature has the wrong length')
  return sequence(integer(raw.subarray(0, half)), integer(raw.subarray(half)))
}

/** The DER that certificates have into `r || s`. Throws ZT-422-CERT if it is not DER. */
export function rawSignature(der: Uint8Array, curve: Curve): Uint8Array {
  const half = coordinateBytes(curve)
  const fields = readDer(der, TAG.sequence, 'signature')
  const raw = new Uint8Array(2 * half)
  for (const end of [half, 2 * half]) {
    const digits = fields.integer()
    const magnitude = digits[0] === 0 ? digits.subarray(1) : digits
    if (magnitude.length > half) throw keystoreFailed('a signature has the wrong length')
    raw.set(magnitude, end - magnitude.length)
  }
  fields.end()
  return raw
}

/**
 * Throws ZT-500-KEYSTORE unless `spki` made `signature` over `data`: a module that signs with another key, or wrongly,
 * is found before anything it signed is used.
 */
export function requireSignature(signed: {
  readonly data: Uint8Array
  readonly signature: Uint8Array
  readonly key: { readonly spki: Uint8Array; readonly curve: Curve }
}): void {
  const { spki, curve } = signed.key
  const key: KeyObject = ecPublicKey(spki, curve)
  if (!verify(hashOf(curve), signed.data, { key, dsaEncoding: 'der' }, signed.signature)) {
    throw keystoreFailed('it made a signature that does not verify with its public key')
  }
}
