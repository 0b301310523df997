// RFC 8785 (JCS): the one byte string of a JSON value. What is hashed or signed as canonical JSON goes through here.
import { ZtError } from '#shared/errors/error.ts'

const MAX_DEPTH = 64

/**
 * Canonical text of a JSON value: keys in UTF-16 order, ECMAScript numbers, no space.
 * Throws ZT-422-SCHEMA for anything that JSON cannot hold: undefined, NaN, lone surrogates, class instances, cycles.
 */
export function canonicalJson(value: unknown): string {
  return write(value, 0)
}

/** UTF-8 bytes of the canonical text. */
export function canonicalBytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(canonicalJson(value))
}

function write(value: unknown, depth: number): string {
  switch (typeof value) {
    case 'string':
      return writeString(value)
    case 'number':
      // RFC 8785 §3.2.2.3: String(n) is the ECMAScript form; negative zero becomes 0.
      return Number.isFinite(value) ? String(value) : refuse('a number is not finite')
    case 'boolean':
      return String(value)
    case 'object':
      return value === null ? 'null' : writeContainer(value, depth + 1)
    case 'bigint':
    case 'function':
    case 'symbol':
    case 'undefined':
      return refuse(`a value is of type ${typeof value}`)
  }
}

function writeContainer(value: object, depth: number): string {
  if (depth > MAX_DEPTH) refuse('nested too deeply')
  if (Array.isArray(value)) return `[${Array.from(value, (item) => write(item, depth)).join(',')}]`
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== null && prototype !== Object.prototype) refuse('an object is not plain')
  // RFC 8785 §3.2.3: keys sort by UTF-16 code units, which is what a comparison of strings does here.
  const keys = Object.keys(value).toSorted()
  const members = value as Readonly<Record<string, unknown>>
  return `{${keys.map((key) => `${writeString(key)}:${write(members[key], depth)}`).join(',')}}`
}

function writeString(text: string): string {
  // JSON.stringify escapes as RFC 8785 §3.2.2.2 wants, except that it writes lone surrogates instead of refusing them.
  return text.isWellFormed() ? JSON.stringify(text) : refuse('a string holds a lone surrogate')
}

function refuse(what: string): never {
  throw new ZtError('ZT-422-SCHEMA', `no canonical json: ${what}`)
}
