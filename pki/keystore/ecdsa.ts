// ECDSA with the hash that belongs to the curve.
import { verify, type KeyObject } from 'node:crypto'
import { ecPublicKey, type Curve } from '#shared/x509/ec-spki.ts'
import { keystoreFailed } from './keystore.ts'

/** RFC 5480 §4: the hash of the curve's strength. */
export function hashOf(curve: Curve): 'sha256' | 'sha384' {
  return curve === 'P-256' ? 'sha256' : 'sha384'
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
