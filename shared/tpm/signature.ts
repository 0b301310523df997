// Signatures that a TPM makes (TPM 2.0 Part 2 §11.3.4), and their check against the public area of the key. The area's scheme binds:
// a key that says RSASSA with SHA-256 has signed nothing in any other way.
import { verify, constants } from 'node:crypto'
import { isZtError } from '#shared/errors/error.ts'
import { coordinateBytes } from '#shared/x509/ec-spki.ts'
import { ALGORITHM } from './constants.ts'
import { readHash, type TpmHash } from './hash.ts'
import type { EccPublic, RsaPublic, TpmPublic } from './public.ts'
import { keyOfPublic } from './spki.ts'
import { malformedTpm, TpmReader } from './wire.ts'

export interface RsaSignature {
  readonly algorithm: 'rsassa' | 'rsapss'
  readonly hash: TpmHash
  readonly bytes: Uint8Array
}

export interface EcdsaSignature {
  readonly algorithm: 'ecdsa'
  readonly hash: TpmHash
  /** big-endian; some TPMs leave leading zeros out */
  readonly r: Uint8Array
  readonly s: Uint8Array
}

export type TpmSignature = RsaSignature | EcdsaSignature

const FIELD = 'tpm signature'
const MAX_RSA_BYTES = 512
const MAX_COORDINATE_BYTES = 48

// SHA-1 is parsed, so that it can be refused by name, but nothing that it signs is believed.
const ACCEPTED_HASHES: readonly TpmHash[] = ['sha256', 'sha384', 'sha512']

// SEC 2 §2.4.2 and §2.5.1: the orders of the two groups.
const ORDER: Readonly<Record<EccPublic['curve'], Uint8Array>> = {
  'P-256': Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex'),
  'P-384': Buffer.from(
    'ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973',
    'hex',
  ),
}

/** The whole of `bytes` as a TPMT_SIGNATURE by RSASSA, RSAPSS or ECDSA; any other, and no signature, is ZT-422-TPM. */
export function parseTpmSignature(bytes: Uint8Array): TpmSignature {
  const reader = new TpmReader(bytes, FIELD)
  const id = reader.u16()
  const algorithm = (['rsassa', 'rsapss', 'ecdsa'] as const).find((name) => ALGORITHM[name] === id)
  if (algorithm === undefined) throw malformedTpm(FIELD, `is of the unknown scheme 0x${id.toString(16)}`)
  const hash = readHash(reader, FIELD)
  const signature: TpmSignature =
    algorithm === 'ecdsa'
      ? { algorithm, hash, r: reader.sized(MAX_COORDINATE_BYTES), s: reader.sized(MAX_COORDINATE_BYTES) }
      : { algorithm, hash, bytes: reader.sized(MAX_RSA_BYTES) }
  reader.end()
  return Object.freeze(signature)
}

/**
 * Whether `signature` is one of `area`'s key over `data`, in the scheme that the area names. False for anything else,
 * with a public area that is no key, a hash below SHA-256, or numbers out of range, too.
 */
export function verifyTpmSignature(area: TpmPublic, signature: TpmSignature, data: Uint8Array): boolean {
  if (!ACCEPTED_HASHES.includes(signature.hash) || area.type === 'keyedHash') return false
  const { scheme } = area
  if (scheme !== undefined && (scheme.algorithm !== signature.algorithm || scheme.hash !== signature.hash))
    return false
  try {
    if (area.type === 'rsa') return signature.algorithm !== 'ecdsa' && verifyRsa(area, signature, data)
    return signature.algorithm === 'ecdsa' && verifyEcdsa(area, signature, data)
  } catch (error) {
    if (isZtError(error, 'ZT-422-TPM')) return false
    throw error
  }
}

function verifyRsa(area: RsaPublic, { algorithm, hash, bytes }: RsaSignature, data: Uint8Array): boolean {
  // RFC 8017 §8.1.2, §8.2.2: the signature has the length of the modulus.
  if (bytes.length !== area.unique.length) return false
  const key = keyOfPublic(area)
  if (algorithm === 'rsassa') return verify(hash, data, key, bytes)
  // Part 1 B.7: the salt is as long as fits, or as the hash; both are in the field.
  const options = {
    key,
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: constants.RSA_PSS_SALTLEN_AUTO,
  }
  return verify(hash, data, options, bytes)
}

/** `r || s` in full length, as JWS has it; undefined if a number is not from 1 to the group's order less 1. */
export function rawEcdsa({ r, s }: EcdsaSignature, curve: EccPublic['curve']): Uint8Array | undefined {
  const raw = new Uint8Array(2 * coordinateBytes(curve))
  const isSound = putScalar(raw, r, curve) && putScalar(raw.subarray(coordinateBytes(curve)), s, curve)
  return isSound ? raw : undefined
}

function verifyEcdsa(area: EccPublic, signature: EcdsaSignature, data: Uint8Array): boolean {
  const raw = rawEcdsa(signature, area.curve)
  if (raw === undefined) return false
  return verify(signature.hash, data, { key: keyOfPublic(area), dsaEncoding: 'ieee-p1363' }, raw)
}

/** Writes `value` in full length at the start of `into`; false unless it is from 1 to the group's order less 1. */
function putScalar(into: Uint8Array, value: Uint8Array, curve: EccPublic['curve']): boolean {
  const length = coordinateBytes(curve)
  if (value.length > length || value.every((byte) => byte === 0)) return false
  const full = into.subarray(0, length)
  full.set(value, length - value.length)
  return Buffer.compare(full, ORDER[curve]) < 0
}
