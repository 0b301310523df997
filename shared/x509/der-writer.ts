// Writes DER. Only definite minimal lengths can come out; the caller is trusted with content that takes part in
// DER rules of its own (order of sets, defaults left out).
import { TAG } from './der.ts'

/** One element: tag, minimal length, and the parts one after the other. */
export function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += part.length
  const header = lengthOctets(length)
  const out = new Uint8Array(1 + header.length + length)
  out[0] = tag
  out.set(header, 1)
  let offset = 1 + header.length
  for (const part of parts) {
    out.set(part, offset)
    offset += part.length
  }
  return out
}

export const sequence = (...parts: readonly Uint8Array[]): Uint8Array => der(TAG.sequence, ...parts)

/** A context-specific constructed element. */
export const explicit = (number: number, ...parts: readonly Uint8Array[]): Uint8Array =>
  der(0xa0 | number, ...parts)

/** A context-specific primitive element. */
export const implicit = (number: number, content: Uint8Array): Uint8Array => der(0x80 | number, content)

export const octetString = (content: Uint8Array): Uint8Array => der(TAG.octetString, content)

export const booleanTrue = (): Uint8Array => der(TAG.boolean, Uint8Array.of(0xff))

/** A bit string without unused bits. */
export const wholeBits = (content: Uint8Array): Uint8Array => der(TAG.bitString, Uint8Array.of(0), content)

/** An unsigned integer from big-endian octets. */
export function integer(magnitude: Uint8Array): Uint8Array {
  let start = 0
  while (start < magnitude.length - 1 && magnitude[start] === 0) start += 1
  const minimal = magnitude.subarray(start)
  const first = minimal[0] ?? 0
  return first < 0x80 && minimal.length > 0
    ? der(TAG.integer, minimal)
    : der(TAG.integer, Uint8Array.of(0), minimal)
}

export function oid(dotted: string): Uint8Array {
  const [top = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  return der(TAG.oid, Uint8Array.from([top * 40 + second, ...rest].flatMap(base128)))
}

/** A named bit list from the numbers of its bits: X.690 §11.2.2, no trailing zero bits. */
export function namedBits(bits: readonly number[]): Uint8Array {
  if (bits.length === 0) return der(TAG.bitString, Uint8Array.of(0))
  const highest = Math.max(...bits)
  const content = new Uint8Array(2 + (highest >> 3))
  content[0] = 7 - (highest & 7)
  for (const bit of bits) content[1 + (bit >> 3)] = (content[1 + (bit >> 3)] ?? 0) | (0x80 >> (bit & 7))
  return der(TAG.bitString, content)
}

/** RFC 5280 §4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050; whole seconds, Z. */
export function time(atMs: number): Uint8Array {
  const digits = new Date(atMs).toISOString().replace(/[-:T]|\.\d{3}/g, '')
  return atMs < Date.UTC(2050, 0)
    ? der(TAG.utcTime, ascii(digits.slice(2)))
    : der(TAG.generalizedTime, ascii(digits))
}

export function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0))
}

function base128(arc: number): number[] {
  const octets = [arc % 128]
  for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128)) {
    octets.unshift((rest % 128) | 0x80)
  }
  return octets
}

function lengthOctets(length: number): Uint8Array {
  if (length < 0x80) return Uint8Array.of(length)
  const octets: number[] = []
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) octets.unshift(rest % 256)
  return Uint8Array.of(0x80 | octets.length, ...octets)
}
