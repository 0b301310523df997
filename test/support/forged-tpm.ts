// Evidence put together byte by byte and signed with software keys: what an attacker without the right TPM can make, and
// with the keys of a test what no TPM would sign.
import { constants, createPublicKey, sign, type KeyObject } from 'node:crypto'
import { ALGORITHM, GENERATED, TAG, type TpmAttribute } from '#shared/tpm/constants.ts'
import { digest, hashId, type TpmHash } from '#shared/tpm/hash.ts'
import { encodePcrSelections, pcrDigest, type PcrSelection } from '#shared/tpm/pcr.ts'
import { encodePublic2b, type EccPublic, type RsaPublic, type TpmPublic } from '#shared/tpm/public.ts'
import { attestationKey } from '#shared/tpm/templates.ts'
import { TpmWriter } from '#shared/tpm/wire.ts'
import type { PcrValues } from '#shared/protocol/pcr-policy.ts'
import { ecKeys, rsaKeys, type KeyPair } from './vendor-ca.ts'

export interface SoftAk extends KeyPair {
  readonly area: TpmPublic
  /** TPM2B_PUBLIC */
  readonly public: Uint8Array
}

/** A key outside any TPM, with the public area of a genuine AK: all but the proof of activation is as it should be. */
export function softAk(change: Partial<EccPublic> = {}): SoftAk {
  const keys = ecKeys()
  const area = { ...attestationKey('ecdsa-p256'), unique: pointOf(keys.spki), ...change } as EccPublic
  return { ...keys, area, public: encodePublic2b(area) }
}

export function softRsaAk(change: Partial<RsaPublic> = {}, bits: number = 2048): SoftAk {
  const keys = rsaKeys(bits)
  const form = attestationKey('rsassa-2048')
  const area = { ...form, keyBits: bits, unique: modulusOf(keys.spki), ...change } as RsaPublic
  return { ...keys, area, public: encodePublic2b(area) }
}

/** The attributes of an AK with some taken away and some put in. */
export function attributes(change: {
  readonly without?: readonly TpmAttribute[]
  readonly and?: readonly TpmAttribute[]
}): ReadonlySet<TpmAttribute> {
  const genuine = [...attestationKey('ecdsa-p256').attributes]
  return new Set([
    ...genuine.filter((name) => change.without?.includes(name) !== true),
    ...(change.and ?? []),
  ])
}

export interface AttestParts {
  readonly magic: number
  readonly type: number
  readonly qualifiedSigner: Uint8Array
  readonly extraData: Uint8Array
  readonly clock: number
  readonly resetCount: number
  readonly restartCount: number
  readonly safe: number
  readonly firmware: bigint
  /** what stands after the fixed part */
  readonly body: Uint8Array
  readonly trailing: Uint8Array
}

/** TPMS_ATTEST; a quote of nothing unless `change` says otherwise. */
export function attest(change: Partial<AttestParts>): Uint8Array {
  const parts: AttestParts = {
    magic: GENERATED,
    type: TAG.attestQuote,
    qualifiedSigner: Buffer.from(`000b${'11'.repeat(32)}`, 'hex'),
    extraData: new Uint8Array(32),
    clock: 100_000,
    resetCount: 7,
    restartCount: 3,
    safe: 1,
    firmware: 0x2019_1023_0016_3636n,
    body: new Uint8Array(),
    trailing: new Uint8Array(),
    ...change,
  }
  return new TpmWriter()
    .u32(parts.magic)
    .u16(parts.type)
    .sized(parts.qualifiedSigner)
    .sized(parts.extraData)
    .u64(BigInt(parts.clock))
    .u32(parts.resetCount)
    .u32(parts.restartCount)
    .u8(parts.safe)
    .u64(parts.firmware)
    .bytes(parts.body)
    .bytes(parts.trailing)
    .done()
}

/** TPMS_QUOTE_INFO of these registers. */
export function quoteBody(
  pcrs: PcrValues,
  selections: readonly PcrSelection[],
  hash: TpmHash = 'sha256',
): Uint8Array {
  const values = Object.keys(pcrs)
    .toSorted((a, b) => Number(a) - Number(b))
    .map((index) => Buffer.from(pcrs[index] ?? '', 'hex'))
  return new TpmWriter().bytes(encodePcrSelections(selections)).sized(pcrDigest(values, hash)).done()
}

/** TPMS_CERTIFY_INFO, and TPMS_CREATION_INFO, which has the same form. */
export function namedBody(name: Uint8Array, second: Uint8Array): Uint8Array {
  return new TpmWriter().sized(name).sized(second).done()
}

/** TPMT_SIGNATURE by ECDSA from its numbers. */
export function ecdsaSignature(r: Uint8Array, s: Uint8Array, hash: TpmHash = 'sha256'): Uint8Array {
  return new TpmWriter().u16(ALGORITHM.ecdsa).u16(hashId(hash)).sized(r).sized(s).done()
}

/** TPMT_SIGNATURE by RSASSA or RSAPSS from its bytes. */
export function rsaSignature(bytes: Uint8Array, algorithm: 'rsassa' | 'rsapss' = 'rsassa'): Uint8Array {
  return new TpmWriter().u16(ALGORITHM[algorithm]).u16(hashId('sha256')).sized(bytes).done()
}

/** TPMT_SIGNATURE over `data` in the scheme of the key's kind, with SHA-256. */
export function signAttest(key: KeyObject, data: Uint8Array): Uint8Array {
  if (key.asymmetricKeyType === 'rsa')
    return rsaSignature(sign('sha256', data, { key, padding: constants.RSA_PKCS1_PADDING }))
  const raw = sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' })
  return ecdsaSignature(raw.subarray(0, raw.length / 2), raw.subarray(raw.length / 2))
}

/** What 24 registers of a machine hold that has started nothing, and what it has in the given ones. */
export function pcrValues(indices: readonly number[], bank: TpmHash = 'sha256'): PcrValues {
  const value = (index: number): string => Buffer.from(digest(bank, Uint8Array.of(index))).toString('hex')
  return Object.fromEntries(indices.map((index) => [String(index), value(index)]))
}

export function pointOf(spki: Uint8Array): EccPublic['unique'] {
  const jwk = jwkOf(spki)
  return { x: numberOf(jwk.x), y: numberOf(jwk.y) }
}

export function modulusOf(spki: Uint8Array): Uint8Array {
  return numberOf(jwkOf(spki).n)
}

function jwkOf(spki: Uint8Array): { readonly x?: string; readonly y?: string; readonly n?: string } {
  const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
  return key.export({ format: 'jwk' }) as { readonly x?: string; readonly y?: string; readonly n?: string }
}

function numberOf(text: string | undefined): Uint8Array {
  return Uint8Array.from(Buffer.from(text ?? '', 'base64url'))
}
