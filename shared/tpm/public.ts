// Public areas of TPM objects (TPM 2.0 Part 2 §12.2): what a key is and may do, as its TPM hashes it into the key's name. Each
// accepted area has one encoding, so a name can be computed again from what was parsed.
import { ALGORITHM, ATTRIBUTE_BIT, CURVE, type TpmAttribute } from './constants.ts'
import { digest, hashId, MAX_DIGEST_BYTES, readHash, type TpmHash } from './hash.ts'
import { malformedTpm, sized, TpmReader, TpmWriter } from './wire.ts'

export interface TpmSymmetric {
  readonly algorithm: 'aes'
  readonly keyBits: number
  readonly mode: 'ctr' | 'ofb' | 'cbc' | 'cfb' | 'ecb' | 'null'
}

export interface TpmScheme<A extends string> {
  readonly algorithm: A
  /** undefined for rsaes, which has none */
  readonly hash: TpmHash | undefined
}

export type RsaSchemeName = 'rsassa' | 'rsaes' | 'rsapss' | 'oaep'
export type EccSchemeName = 'ecdsa' | 'ecdh' | 'ecschnorr'
export type KdfName = 'mgf1' | 'kdf1Sp800x56a' | 'kdf2' | 'kdf1Sp800x108'

interface PublicArea {
  readonly nameAlg: TpmHash
  readonly attributes: ReadonlySet<TpmAttribute>
  /** empty if the object has no policy */
  readonly authPolicy: Uint8Array
}

export interface RsaPublic extends PublicArea {
  readonly type: 'rsa'
  readonly symmetric: TpmSymmetric | undefined
  readonly scheme: TpmScheme<RsaSchemeName> | undefined
  readonly keyBits: number
  /** 0 stands for 65537 */
  readonly exponent: number
  /** the modulus, big-endian */
  readonly unique: Uint8Array
}

export interface EccPublic extends PublicArea {
  readonly type: 'ecc'
  readonly symmetric: TpmSymmetric | undefined
  readonly scheme: TpmScheme<EccSchemeName> | undefined
  readonly curve: 'P-256' | 'P-384'
  readonly kdf: TpmScheme<KdfName> | undefined
  /** big-endian; some TPMs leave leading zeros out */
  readonly unique: { readonly x: Uint8Array; readonly y: Uint8Array }
}

export interface KeyedHashPublic extends PublicArea {
  readonly type: 'keyedHash'
  /** undefined for sealed data; no scheme of keyed hashes is accepted */
  readonly scheme: undefined
  readonly unique: Uint8Array
}

export type TpmPublic = RsaPublic | EccPublic | KeyedHashPublic

const SYMMETRIC_MODES = ['ctr', 'ofb', 'cbc', 'cfb', 'ecb', 'null'] as const
const RSA_SCHEMES = ['rsassa', 'rsaes', 'rsapss', 'oaep'] as const
const ECC_SCHEMES = ['ecdsa', 'ecdh', 'ecschnorr'] as const
const KDF_SCHEMES = ['mgf1', 'kdf1Sp800x56a', 'kdf2', 'kdf1Sp800x108'] as const
const AES_BITS: readonly number[] = [128, 192, 256]
const RSA_BITS: readonly number[] = [1024, 2048, 3072, 4096]
const MAX_COORDINATE_BYTES = 48
const ALL_BITS: number = Object.values(ATTRIBUTE_BIT).reduce((sum, bit) => sum + 2 ** bit, 0)
const FIELD = 'tpm public area'

/** The whole of `bytes` as a TPMT_PUBLIC of an RSA key, a P-256 or P-384 key, or sealed data; else ZT-422-TPM. */
export function parsePublic(bytes: Uint8Array): TpmPublic {
  const reader = new TpmReader(bytes, FIELD)
  const area = readArea(reader)
  reader.end()
  return Object.freeze(area)
}

/** The whole of `bytes` as a TPM2B_PUBLIC; throws ZT-422-TPM. */
export function parsePublic2b(bytes: Uint8Array): TpmPublic {
  const reader = new TpmReader(bytes, FIELD)
  const inner = reader.sized(bytes.length)
  reader.end()
  return parsePublic(inner)
}

/** TPMT_PUBLIC: for a parsed area exactly the bytes that it was parsed from. */
export function encodePublic(area: TpmPublic): Uint8Array {
  const out = new TpmWriter()
    .u16(ALGORITHM[area.type])
    .u16(hashId(area.nameAlg))
    .u32(attributeBits(area.attributes))
    .sized(area.authPolicy)
  switch (area.type) {
    case 'rsa':
      writeSymmetric(out, area.symmetric)
      writeScheme(out, area.scheme)
      return out.u16(area.keyBits).u32(area.exponent).sized(area.unique).done()
    case 'ecc':
      writeSymmetric(out, area.symmetric)
      writeScheme(out, area.scheme)
      writeScheme(out.u16(CURVE[area.curve]), area.kdf)
      return out.sized(area.unique.x).sized(area.unique.y).done()
    case 'keyedHash':
      return out.u16(ALGORITHM.null).sized(area.unique).done()
  }
}

/** TPM2B_PUBLIC. */
export function encodePublic2b(area: TpmPublic): Uint8Array {
  return sized(encodePublic(area))
}

/** The object's name (Part 1 §16): the identifier of nameAlg and the digest of the public area. */
export function nameOf(area: TpmPublic): Uint8Array {
  return new TpmWriter()
    .u16(hashId(area.nameAlg))
    .bytes(digest(area.nameAlg, encodePublic(area)))
    .done()
}

/** TPMA_OBJECT as a number. */
export function attributeBits(attributes: ReadonlySet<TpmAttribute>): number {
  let bits = 0
  for (const name of attributes) bits += 2 ** ATTRIBUTE_BIT[name]
  return bits
}

function readArea(reader: TpmReader): TpmPublic {
  const type = reader.u16()
  const nameAlg = readHash(reader, FIELD)
  const attributes = readAttributes(reader.u32())
  const authPolicy = reader.sized(MAX_DIGEST_BYTES)
  const area = { nameAlg, attributes, authPolicy }
  switch (type) {
    case ALGORITHM.rsa:
      return { type: 'rsa', ...area, ...readRsa(reader) }
    case ALGORITHM.ecc:
      return { type: 'ecc', ...area, ...readEcc(reader) }
    case ALGORITHM.keyedHash:
      if (reader.u16() !== ALGORITHM.null) throw malformedTpm(FIELD, 'has a keyed hash scheme')
      return { type: 'keyedHash', ...area, scheme: undefined, unique: reader.sized(MAX_DIGEST_BYTES) }
    default:
      throw malformedTpm(FIELD, `is of the unknown type 0x${type.toString(16)}`)
  }
}

function readAttributes(bits: number): ReadonlySet<TpmAttribute> {
  // Part 2 §8.3: reserved bits are clear; two areas that differ in them alone would have two names.
  if ((bits & ~ALL_BITS) !== 0) throw malformedTpm(FIELD, 'has reserved attributes')
  const names = Object.entries(ATTRIBUTE_BIT).filter(([, bit]) => (bits & (1 << bit)) !== 0)
  return new Set(names.map(([name]) => name as TpmAttribute))
}

type RsaParameters = Pick<RsaPublic, 'symmetric' | 'scheme' | 'keyBits' | 'exponent' | 'unique'>

function readRsa(reader: TpmReader): RsaParameters {
  const symmetric = readSymmetric(reader)
  const scheme = readScheme(reader, RSA_SCHEMES)
  const keyBits = reader.u16()
  if (!RSA_BITS.includes(keyBits)) throw malformedTpm(FIELD, `is an rsa key of ${keyBits} bits`)
  const exponent = reader.u32()
  return { symmetric, scheme, keyBits, exponent, unique: reader.sized(keyBits / 8) }
}

type EccParameters = Pick<EccPublic, 'symmetric' | 'scheme' | 'curve' | 'kdf' | 'unique'>

function readEcc(reader: TpmReader): EccParameters {
  const symmetric = readSymmetric(reader)
  const scheme = readScheme(reader, ECC_SCHEMES)
  const id = reader.u16()
  const curve = id === CURVE['P-256'] ? 'P-256' : 'P-384'
  if (id !== CURVE[curve]) throw malformedTpm(FIELD, `is of the unknown curve 0x${id.toString(16)}`)
  const kdf = readScheme(reader, KDF_SCHEMES)
  const unique = { x: reader.sized(MAX_COORDINATE_BYTES), y: reader.sized(MAX_COORDINATE_BYTES) }
  return { symmetric, scheme, curve, kdf, unique }
}

function readSymmetric(reader: TpmReader): TpmSymmetric | undefined {
  const id = reader.u16()
  if (id === ALGORITHM.null) return undefined
  if (id !== ALGORITHM.aes) throw malformedTpm(FIELD, `names the unknown cipher 0x${id.toString(16)}`)
  const keyBits = reader.u16()
  const modeId = reader.u16()
  const mode = SYMMETRIC_MODES.find((name) => ALGORITHM[name] === modeId)
  if (!AES_BITS.includes(keyBits) || mode === undefined)
    throw malformedTpm(FIELD, 'names an unknown form of aes')
  return { algorithm: 'aes', keyBits, mode }
}

function readScheme<A extends keyof typeof ALGORITHM>(
  reader: TpmReader,
  known: readonly A[],
): TpmScheme<A> | undefined {
  const id = reader.u16()
  if (id === ALGORITHM.null) return undefined
  const algorithm = known.find((name) => ALGORITHM[name] === id)
  if (algorithm === undefined) throw malformedTpm(FIELD, `names the unknown scheme 0x${id.toString(16)}`)
  return { algorithm, hash: algorithm === 'rsaes' ? undefined : readHash(reader, FIELD) }
}

function writeSymmetric(out: TpmWriter, symmetric: TpmSymmetric | undefined): void {
  if (symmetric === undefined) out.u16(ALGORITHM.null)
  else out.u16(ALGORITHM.aes).u16(symmetric.keyBits).u16(ALGORITHM[symmetric.mode])
}

function writeScheme(out: TpmWriter, scheme: TpmScheme<keyof typeof ALGORITHM> | undefined): void {
  out.u16(ALGORITHM[scheme?.algorithm ?? 'null'])
  if (scheme?.hash !== undefined) out.u16(hashId(scheme.hash))
}
