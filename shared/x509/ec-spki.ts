// SubjectPublicKeyInfo of the two curves that ztmesh uses, in their one DER form: named curve, uncompressed point
// (RFC 5480 §2). OpenSSL checks that the point is on the curve.
import { createPublicKey, type KeyObject } from 'node:crypto'
import { ZtError } from '#shared/errors/error.ts'

export type Curve = 'P-256' | 'P-384'

const PREFIX: Readonly<Record<Curve, Buffer>> = {
  'P-256': Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex'),
  'P-384': Buffer.from('3076301006072a8648ce3d020106052b8104002203620004', 'hex'),
}

const COORDINATE_BYTES: Readonly<Record<Curve, number>> = { 'P-256': 32, 'P-384': 48 }

/** The curve of a key in the accepted form, else undefined. Says nothing about the point. */
export function curveOf(spki: Uint8Array): Curve | undefined {
  if (hasForm(spki, 'P-256')) return 'P-256'
  return hasForm(spki, 'P-384') ? 'P-384' : undefined
}

/** The key, if it is one of `curve` in the accepted form with a point on the curve; else ZT-422-CERT. */
export function ecPublicKey(spki: Uint8Array, curve: Curve): KeyObject {
  if (!hasForm(spki, curve))
    throw new ZtError('ZT-422-CERT', `public key is not an uncompressed ${curve} point`)
  try {
    return createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
  } catch (error) {
    throw new ZtError('ZT-422-CERT', `public key is not a point of ${curve}`, { cause: error })
  }
}

/** The DER form of an uncompressed point `04 || x || y`; throws ZT-422-CERT if its length is not that of `curve`. */
export function ecSpki(point: Uint8Array, curve: Curve): Uint8Array {
  if (point.length !== 1 + 2 * COORDINATE_BYTES[curve] || point[0] !== 4) {
    throw new ZtError('ZT-422-CERT', `public key is not an uncompressed ${curve} point`)
  }
  return Uint8Array.from([...PREFIX[curve], ...point.subarray(1)])
}

/** Octets of one coordinate, which is also the length of r and of s in a signature. */
export function coordinateBytes(curve: Curve): number {
  return COORDINATE_BYTES[curve]
}

function hasForm(spki: Uint8Array, curve: Curve): boolean {
  const prefix = PREFIX[curve]
  return (
    spki.length === prefix.length + 2 * COORDINATE_BYTES[curve] &&
    prefix.equals(spki.subarray(0, prefix.length))
  )
}
