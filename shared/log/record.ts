// A stored row as one piece of memory, laid out so that both hashes are taken over views of it without a copy.
import { asBuffer, HASH_BYTES, type Hash } from './hash.ts'

export interface StoredRow {
  readonly seq: number
  readonly prev: Hash
  readonly body: Uint8Array
  readonly hash: Hash
}

/** `bytes` is hash (32) || 0x00 || prev (32) || body: from 32 on it is the leaf's input, from 33 on the entry. */
export interface RowRecord {
  readonly seq: number
  readonly bytes: Buffer
}

export const LEAF_AT: number = HASH_BYTES
export const ENTRY_AT: number = LEAF_AT + 1
export const BODY_AT: number = ENTRY_AT + HASH_BYTES

export function recordOf(row: StoredRow): RowRecord {
  return { seq: row.seq, bytes: Buffer.concat([row.hash, ZERO, row.prev, row.body]) }
}

/** The parts of a record: views, not copies. */
export function rowOf(record: RowRecord): StoredRow {
  const { seq, bytes } = record
  return {
    seq,
    hash: bytes.subarray(0, HASH_BYTES),
    prev: bytes.subarray(ENTRY_AT, BODY_AT),
    body: bytes.subarray(BODY_AT),
  }
}

const ZERO = Buffer.of(0)

/** True if bytes can be a record: only what has both hashes, their separator and a body. */
export function isRecord(bytes: Uint8Array): boolean {
  return asBuffer(bytes).length > BODY_AT && bytes[LEAF_AT] === 0
}
