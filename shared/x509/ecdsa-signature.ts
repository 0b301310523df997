// ECDSA signatures in the one form that ztmesh takes in certificates. With (r, s) also (r, n - s) verifies, so anybody can
// turn a certificate into another one with another thumbprint, which no list of thumbprints would know. Only the
// smaller s counts, in strict DER: then a certificate has exactly one encoding.
import { ZtError } from '#shared/errors/error.ts'
import { integer, sequence } from './der-writer.ts'
import { readDer, TAG } from './der.ts'
import { coordinateBytes, type Curve } from './ec-spki.ts'

// SEC 2 §2.4.2 and §2.5.1: the orders of the two groups.
const ORDER: Readonly<Record<Curve, bigint>> = {
  'P-256': 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  'P-384': BigInt(
    '0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973',
  ),
}

const HALF: Readonly<Record<Curve, Uint8Array>> = {
  'P-256': octets(ORDER['P-256'] >> 1n, 'P-256'),
  'P-384': octets(ORDER['P-384'] >> 1n, 'P-384'),
}

/** `r || s`, as PKCS#11 and JWS have it, into the DER that certificates have, with the smaller s. ZT-422-CERT. */
export function canonicalSignature(raw: Uint8Array, curve: Curve): Uint8Array {
  const half = coordinateBytes(curve)
  if (raw.length !== 2 * half) throw new ZtError('ZT-422-CERT', 'ecdsa signature has the wrong length')
  const s = raw.subarray(half)
  return sequence(integer(raw.subarray(0, half)), integer(isLow(s, curve) ? s : negated(s, curve)))
}

/** The DER that certificates have into `r || s`. Throws ZT-422-CERT if it is not DER or too long for the curve. */
export function rawSignature(der: Uint8Array, curve: Curve): Uint8Array {
  const half = coordinateBytes(curve)
  const raw = new Uint8Array(2 * half)
  const fields = readDer(der, TAG.sequence, 'ecdsa signature')
  for (const end of [half, 2 * half]) {
    const digits = fields.integer()
    const magnitude = digits[0] === 0 ? digits.subarray(1) : digits
    if (magnitude.length > half || ((digits[0] ?? 0) & 0x80) !== 0) {
      throw new ZtError('ZT-422-CERT', 'ecdsa signature has a number out of range')
    }
    raw.set(magnitude, end - magnitude.length)
  }
  fields.end()
  return raw
}

/** True for the one accepted form of a signature: strict DER and the smaller s. Says nothing about the key. */
export function isCanonicalSignature(der: Uint8Array, curve: Curve): boolean {
  try {
    return isLow(rawSignature(der, curve).subarray(coordinateBytes(curve)), curve)
  } catch (error) {
    if (error instanceof ZtError) return false
    throw error
  }
}

function isLow(s: Uint8Array, curve: Curve): boolean {
  return Buffer.compare(s, HALF[curve]) <= 0
}

function negated(s: Uint8Array, curve: Curve): Uint8Array {
  return octets(ORDER[curve] - BigInt(`0x${Buffer.from(s).toString('hex')}`), curve)
}

function octets(value: bigint, curve: Curve): Uint8Array {
  return Uint8Array.from(Buffer.from(value.toString(16).padStart(2 * coordinateBytes(curve), '0'), 'hex'))
}
