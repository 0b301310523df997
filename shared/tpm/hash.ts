// The hashes that a TPM may name, by the identifiers of TPM 2.0 Part 2 §6.3. Which of them is good enough for what is the
// verifier's to judge.
import { createHash } from 'node:crypto'
import { malformedTpm, type TpmReader } from './wire.ts'

export type TpmHash = 'sha1' | 'sha256' | 'sha384' | 'sha512'

interface HashFacts {
  /** TPM_ALG_ID */
  readonly id: number
  readonly bytes: number
}

const HASHES: Readonly<Record<TpmHash, HashFacts>> = {
  sha1: { id: 0x0004, bytes: 20 },
  sha256: { id: 0x000b, bytes: 32 },
  sha384: { id: 0x000c, bytes: 48 },
  sha512: { id: 0x000d, bytes: 64 },
}

const BY_ID: ReadonlyMap<number, TpmHash> = new Map(
  Object.entries(HASHES).map(([name, { id }]) => [id, name as TpmHash]),
)

/** The longest digest, in bytes. */
export const MAX_DIGEST_BYTES = 64

/** The longest name: a hash's identifier and its digest, in bytes. */
export const MAX_NAME_BYTES: number = 2 + MAX_DIGEST_BYTES

export function hashId(hash: TpmHash): number {
  return HASHES[hash].id
}

/** The hash of a TPM_ALG_ID, if it is one of these. */
export function hashOfId(id: number): TpmHash | undefined {
  return BY_ID.get(id)
}

export function digestBytes(hash: TpmHash): number {
  return HASHES[hash].bytes
}

export function digest(hash: TpmHash, ...parts: readonly Uint8Array[]): Uint8Array {
  const state = createHash(hash)
  for (const part of parts) state.update(part)
  return new Uint8Array(state.digest())
}

/** Reads a TPMI_ALG_HASH; throws ZT-422-TPM if it is none of these. */
export function readHash(reader: TpmReader, field: string): TpmHash {
  const id = reader.u16()
  const hash = hashOfId(id)
  if (hash === undefined) throw malformedTpm(field, `names the unknown hash 0x${id.toString(16)}`)
  return hash
}
