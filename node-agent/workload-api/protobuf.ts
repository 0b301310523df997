// The wire format of protocol buffers, as far as flat messages need it: fields of bytes written, and read from hostile
// bytes with every length checked. Nothing is evaluated, and unknown fields are passed over as proto3 demands.
import { ZtError } from '#shared/errors/error.ts'

/** Fields of one message, at most: far above what any of ours has. */
const MAX_FIELDS = 256
const MAX_VARINT_BYTES = 10

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** One field of the length-delimited kind; nothing for one that is empty, which proto3 does not write. */
export function bytesField(number: number, value: Uint8Array): Uint8Array {
  return value.length === 0 ? value : part(number, value)
}

export function textField(number: number, value: string): Uint8Array {
  return bytesField(number, Buffer.from(value))
}

/** One field that is there even when it is empty: an entry of a list. */
export function part(number: number, value: Uint8Array): Uint8Array {
  return Buffer.concat([varint(number * 8 + 2), varint(value.length), value])
}

/** A field of an integer or a truth value, zero too: a member of a oneof is there even with its default. */
export function integerField(number: number, value: number): Uint8Array {
  return Buffer.concat([varint(number * 8), varint(value)])
}

export function doubleField(number: number, value: number): Uint8Array {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleLE(value)
  return Buffer.concat([varint(number * 8 + 1), bytes])
}

/** A map, as the repeated entries that it is on the wire, in the order of its keys. */
export function mapField(number: number, entries: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const sorted = [...entries].toSorted(([a], [b]) => (a < b ? -1 : 1))
  const parts = sorted.map(([key, value]) =>
    part(number, Buffer.concat([textField(1, key), bytesField(2, value)])),
  )
  return Buffer.concat(parts)
}

/**
 * The text fields of a message, by number. ZT-422-SCHEMA for bytes that are no message, for a field of another kind
 * among `wanted`, and for text that is not UTF-8; other fields are passed over.
 */
export function readTexts(
  bytes: Uint8Array,
  wanted: readonly number[],
): ReadonlyMap<number, readonly string[]> {
  const found = new Map<number, string[]>()
  let at = 0
  for (let count = 0; at < bytes.length; count += 1) {
    if (count >= MAX_FIELDS) throw refuse('has too many fields')
    const tag = readVarint(bytes, at)
    const [field, kind] = [Math.floor(tag.value / 8), tag.value % 8]
    if (field === 0) throw refuse('has a field of number 0')
    const end = endOfField(bytes, tag.next, kind)
    if (wanted.includes(field)) {
      if (kind !== 2) throw refuse(`has a field ${field} that is not text`)
      const text = readText(bytes.subarray(readVarint(bytes, tag.next).next, end))
      found.set(field, [...(found.get(field) ?? []), text])
    }
    at = end
  }
  return found
}

function endOfField(bytes: Uint8Array, at: number, kind: number): number {
  const end = (): number => {
    switch (kind) {
      case 0:
        return readVarint(bytes, at).next
      case 1:
        return at + 8
      case 2: {
        const length = readVarint(bytes, at)
        return length.next + length.value
      }
      case 5:
        return at + 4
      default:
        throw refuse('has a field of an unknown kind')
    }
  }
  const next = end()
  if (next > bytes.length) throw refuse('ends within a field')
  return next
}

function readVarint(bytes: Uint8Array, at: number): { readonly value: number; readonly next: number } {
  let value = 0
  for (let index = 0; index < MAX_VARINT_BYTES; index += 1) {
    const byte = bytes[at + index]
    if (byte === undefined) throw refuse('ends within a number')
    // Beyond 2^53 it is no longer exact, and no longer a length or a field that we would take.
    value += (byte % 128) * 2 ** (7 * index)
    if (byte < 128) return { value, next: at + index + 1 }
  }
  throw refuse('has a number that does not end')
}

function readText(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes)
  } catch {
    throw refuse('has text that is not utf-8')
  }
}

function varint(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128)
  return Uint8Array.from([...bytes, rest])
}

function refuse(what: string): ZtError {
  return new ZtError('ZT-422-SCHEMA', `the message ${what}`)
}
