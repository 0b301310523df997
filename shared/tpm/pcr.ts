// Selections of platform configuration registers, and the digest of what they hold (TPM 2.0 Part 2 §10.6 and §10.9.7, Part 3
// §18.4).
import { digest, hashId, readHash, type TpmHash } from './hash.ts'
import { malformedTpm, TpmWriter, type TpmReader } from './wire.ts'

export interface PcrSelection {
  readonly bank: TpmHash
  /** ascending, without repetition, each below 32 */
  readonly indices: readonly number[]
}

const MAX_BANKS = 16
// PCR_SELECT_MIN of the PC Client profile: 24 registers. TPMs refuse a shorter bitmap.
const SELECT_BYTES = 3
const MAX_SELECT_BYTES = 4

/** TPML_PCR_SELECTION. Throws ZT-422-TPM if a register is out of range. */
export function encodePcrSelections(selections: readonly PcrSelection[]): Uint8Array {
  const out = new TpmWriter().u32(selections.length)
  for (const { bank, indices } of selections) {
    const bits = new Uint8Array(SELECT_BYTES)
    for (const index of indices) {
      if (!Number.isInteger(index) || index < 0 || index >= SELECT_BYTES * 8)
        throw malformedTpm('pcr selection', `names register ${index}`)
      bits[index >> 3] = (bits[index >> 3] ?? 0) | (1 << (index & 7))
    }
    out.u16(hashId(bank)).u8(SELECT_BYTES).bytes(bits)
  }
  return out.done()
}

/** The next TPML_PCR_SELECTION of `reader`; throws ZT-422-TPM. A bank may be named once, with no register at all. */
export function readPcrSelections(reader: TpmReader): readonly PcrSelection[] {
  const count = reader.u32()
  if (count > MAX_BANKS) throw malformedTpm('pcr selection', `names ${count} banks`)
  const selections: PcrSelection[] = []
  for (let at = 0; at < count; at += 1) {
    const bank = readHash(reader, 'pcr selection')
    if (selections.some((other) => other.bank === bank))
      throw malformedTpm('pcr selection', `names ${bank} twice`)
    const length = reader.u8()
    if (length > MAX_SELECT_BYTES) throw malformedTpm('pcr selection', `has a bitmap of ${length} bytes`)
    selections.push(Object.freeze({ bank, indices: indicesOf(reader.bytes(length)) }))
  }
  return Object.freeze(selections)
}

/** What a quote's pcrDigest must be: the hash of the values, in ascending order of their registers. */
export function pcrDigest(values: readonly Uint8Array[], hash: TpmHash): Uint8Array {
  return digest(hash, ...values)
}

function indicesOf(bitmap: Uint8Array): readonly number[] {
  const indices: number[] = []
  for (let index = 0; index < bitmap.length * 8; index += 1) {
    if (((bitmap[index >> 3] ?? 0) & (1 << (index & 7))) !== 0) indices.push(index)
  }
  return Object.freeze(indices)
}
