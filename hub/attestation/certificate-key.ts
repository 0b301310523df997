// The public keys that TPM vendors' certificates hold, read strictly: RSA of 2048 to 4096 bits with exponent 65537, and
// P-256 or P-384. A larger RSA key is refused by its length, before anybody computes with it (T11).
import { createPublicKey, type KeyObject } from 'node:crypto'
import { malformed, readDer, TAG } from '#shared/x509/der.ts'
import { OID } from '#shared/x509/oid.ts'
import { curveOf, ecPublicKey, type Curve } from '#shared/x509/ec-spki.ts'

const MIN_RSA_BITS = 2048
const MAX_RSA_BITS = 4096
const EXPONENT_65537 = '010001'

export interface CertificateKey {
  readonly type: 'rsa' | Curve
  /** DER SubjectPublicKeyInfo, in its one accepted form */
  readonly spki: Uint8Array
  readonly key: KeyObject
}

/** Reads a DER SubjectPublicKeyInfo (RFC 3279 §2.3.1, RFC 5480 §2). Throws ZT-422-CERT for any other key or form. */
export function readCertificateKey(spki: Uint8Array): CertificateKey {
  const curve = curveOf(spki)
  if (curve !== undefined) return { type: curve, spki, key: ecPublicKey(spki, curve) }
  requireRsa(spki)
  try {
    return {
      type: 'rsa',
      spki,
      key: createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' }),
    }
  } catch {
    throw malformed('certificate key', 'is not an RSA key')
  }
}

function requireRsa(spki: Uint8Array): void {
  const fields = readDer(spki, TAG.sequence, 'certificate key')
  const algorithm = fields.enter(TAG.sequence)
  if (algorithm.oid() !== OID.rsaEncryption)
    throw malformed('certificate key', 'is neither RSA, P-256 nor P-384')
  // RFC 3279 §2.3.1: the parameters MUST be NULL.
  if (algorithm.next(TAG.null).length !== 0)
    throw malformed('certificate key', 'has parameters that are not NULL')
  algorithm.end()
  const numbers = readDer(fields.wholeBits(), TAG.sequence, 'certificate key')
  fields.end()
  const bits = bitsOf(numbers.integer())
  if (bits < MIN_RSA_BITS || bits > MAX_RSA_BITS)
    throw malformed('certificate key', `is not an RSA key of ${MIN_RSA_BITS} to ${MAX_RSA_BITS} bits`)
  if (Buffer.from(numbers.integer()).toString('hex') !== EXPONENT_65537)
    throw malformed('certificate key', 'has an RSA exponent other than 65537')
  numbers.end()
}

/** Bits of a positive two's complement integer; 0 for a negative one. */
function bitsOf(integer: Uint8Array): number {
  const magnitude = integer[0] === 0 ? integer.subarray(1) : integer
  const [first = 0] = magnitude
  const negative = (integer[0] ?? 0) >= 0x80
  return negative ? 0 : (magnitude.length - 1) * 8 + (32 - Math.clz32(first))
}
