// Base64 in its two alphabets, canonical forms only: one byte string has exactly one accepted text, so nobody can
// change a signed or hashed text without changing the bytes.
import { ZtError } from '#shared/errors/error.ts'

const URL_ALPHABET = /^[A-Za-z0-9_-]*$/
const STANDARD_ALPHABET = /^[A-Za-z0-9+/]*={0,2}$/

/** RFC 4648 §5, without padding. */
export function encodeBase64url(bytes: Uint8Array): string {
  return buffer(bytes).toString('base64url')
}

/** RFC 4648 §5 without padding and without stray bits, else ZT-400-MALFORMED naming `field`. */
export function decodeBase64url(text: string, field: string): Uint8Array {
  return decode(text, field, { alphabet: URL_ALPHABET, encoding: 'base64url' })
}

/** RFC 4648 §4, with padding: what `x5c` wants (RFC 7515 §4.1.6). */
export function encodeBase64(bytes: Uint8Array): string {
  return buffer(bytes).toString('base64')
}

/** RFC 4648 §4, padded, without stray bits, else ZT-400-MALFORMED naming `field`. */
export function decodeBase64(text: string, field: string): Uint8Array {
  return decode(text, field, { alphabet: STANDARD_ALPHABET, encoding: 'base64' })
}

function decode(
  text: string,
  field: string,
  form: { alphabet: RegExp; encoding: 'base64' | 'base64url' },
): Uint8Array {
  const bytes = form.alphabet.test(text) ? Buffer.from(text, form.encoding) : undefined
  // Buffer accepts bits after the last byte and any padding: only what it would write itself is canonical.
  if (bytes === undefined || bytes.toString(form.encoding) !== text) {
    throw new ZtError('ZT-400-MALFORMED', `field "${field}" is not canonical ${form.encoding}`)
  }
  return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
}

function buffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
