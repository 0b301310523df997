// SHA-256 as the log uses it. Digests travel inside the log as 32-character latin-1 strings: on Node a string result
// costs a quarter of a Buffer result, and a log is mostly hashing.
import { hash } from 'node:crypto'

/** 32 bytes. */
export type Hash = Uint8Array
/** The same 32 bytes, one character (U+0000–U+00FF) a byte. */
export type BinaryHash = string

export const HASH_BYTES = 32

/** SHA-256 of `bytes` as a latin-1 string. */
export function binarySha256(bytes: Uint8Array): BinaryHash {
  return hash('sha256', bytes, 'binary')
}

/** SHA-256 of `bytes`. */
export function sha256(bytes: Uint8Array): Hash {
  return fromBinary(binarySha256(bytes))
}

export function fromBinary(digest: BinaryHash): Hash {
  return Buffer.from(digest, 'latin1')
}

export function toBinary(digest: Hash): BinaryHash {
  return asBuffer(digest).toString('latin1')
}

/** The same memory as a Buffer. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Equality of public values: not for secrets. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}
