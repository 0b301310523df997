// The grammar of rows, each rule in two forms that accept the same: `scan` walks stored bytes once and accepts only
// the RFC 8785 spelling; `check` walks a parsed value and says what is wrong. A property test holds them together.
import type { JsonValue } from '#shared/encoding/json-value.ts'
import { refuseField } from '#shared/encoding/shape.ts'
import { ZtError } from '#shared/errors/error.ts'
import { scanFree } from './canonical-scan.ts'

export interface Rule {
  /** The offset behind the value that starts at `at`, or -1. Reading past the end gives undefined, which no rule accepts. */
  readonly scan: (bytes: Uint8Array, at: number) => number
  /** Throws ZT-422-SCHEMA naming `path`. */
  readonly check: (value: JsonValue, path: string) => void
}

export interface Field {
  readonly name: string
  readonly rule: Rule
  readonly required?: true
}

const QUOTE = 0x22
const COMMA = 0x2c
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d

/** A set of ASCII characters that JSON writes as themselves. */
export function charSet(pattern: RegExp): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, code) =>
    code >= 0x20 &&
    code < 0x7f &&
    !'"\\'.includes(String.fromCharCode(code)) &&
    pattern.test(String.fromCharCode(code))
      ? 1
      : 0,
  )
}

/** Text of `min` (1 unless given) to `max` characters of one set. */
export function text(chars: Uint8Array, limits: { readonly min?: number; readonly max: number }): Rule {
  const { min = 1, max } = limits
  return {
    scan(bytes, at) {
      if (bytes[at] !== QUOTE) return -1
      let end = at + 1
      while (chars[bytes[end] ?? 0] === 1) end += 1
      const length = end - at - 1
      return bytes[end] === QUOTE && length >= min && length <= max ? end + 1 : -1
    },
    check(value, path) {
      if (typeof value !== 'string') return refuseField(path, 'must be text')
      if (value.length < min || value.length > max) refuseField(path, `must have ${min} to ${max} characters`)
      for (let at = 0; at < value.length; at += 1) {
        if (chars[value.charCodeAt(at)] !== 1) refuseField(path, 'has characters that are not allowed')
      }
    },
  }
}

/** One of a few words. */
export function oneOf(words: readonly string[]): Rule {
  const known = new Set(words)
  const spelled = new Map(words.map((word) => [sumOf(word), Buffer.from(`"${word}"`)]))
  if (spelled.size !== words.length)
    throw new ZtError('ZT-500-INTERNAL', 'two words of the grammar have one sum')
  return {
    scan(bytes, at) {
      let sum = 0
      for (let end = at + 1; end < bytes.length && bytes[end] !== QUOTE; end += 1)
        sum = addTo(sum, bytes[end] ?? 0)
      const word = spelled.get(sum)
      return word === undefined ? -1 : matchKey(bytes, at, word)
    },
    check(value, path) {
      if (typeof value !== 'string' || !known.has(value)) refuseField(path, 'is not one of the known words')
    },
  }
}

/** A whole number from `min` to `max`, both inclusive and not negative. */
export function integer(min: number, max: number = Number.MAX_SAFE_INTEGER): Rule {
  return {
    scan(bytes, at) {
      let end = at
      let value = 0
      for (let digit = digitAt(bytes, end); digit >= 0; digit = digitAt(bytes, end)) {
        value = value * 10 + digit
        end += 1
      }
      // 16 digits at most keeps `value` exact enough to be compared with 2^53 - 1.
      const canonical = end > at && end - at <= 16 && (bytes[at] !== 0x30 || end === at + 1)
      return canonical && value >= min && value <= max ? end : -1
    },
    check(value, path) {
      if (!Number.isSafeInteger(value) || Number(value) < min || Number(value) > max) {
        refuseField(path, `must be a whole number from ${min} to ${max}`)
      }
    },
  }
}

/** A number of up to `max` digits written as text, without leading zeros. */
export function decimal(max: number): Rule {
  const digits = text(charSet(/[0-9]/), { max })
  return {
    scan: (bytes, at) => (bytes[at + 1] === 0x30 && bytes[at + 2] !== QUOTE ? -1 : digits.scan(bytes, at)),
    check(value, path) {
      digits.check(value, path)
      if (typeof value === 'string' && value.length > 1 && value.startsWith('0')) {
        refuseField(path, 'has leading zeros')
      }
    },
  }
}

export function list(rule: Rule, max: number): Rule {
  return {
    scan(bytes, at) {
      if (bytes[at] !== OPEN_LIST) return -1
      if (bytes[at + 1] === CLOSE_LIST) return at + 2
      let end = at
      for (let count = 0; count < max; count += 1) {
        end = rule.scan(bytes, end + 1)
        if (end < 0) return -1
        if (bytes[end] === CLOSE_LIST) return end + 1
        if (bytes[end] !== COMMA) return -1
      }
      return -1
    },
    check(value, path) {
      if (!Array.isArray(value)) return refuseField(path, 'must be a list')
      if (value.length > max) refuseField(path, `must have at most ${max} items`)
      value.forEach((item: JsonValue, index) => rule.check(item, `${path}[${index}]`))
    },
  }
}

/** An object of any canonical content: only its depth is bounded (`maxDepth` containers, itself included). */
export function free(maxDepth: number): Rule {
  return {
    scan: (bytes, at) => (bytes[at] === OPEN_OBJECT ? scanFree(bytes, at, maxDepth) : -1),
    check(value, path) {
      if (typeof value !== 'object' || value === null || Array.isArray(value))
        refuseField(path, 'must be an object')
      checkFree(value, path, maxDepth)
    },
  }
}

function checkFree(value: JsonValue, path: string, depth: number): void {
  if (typeof value !== 'object' || value === null) {
    if (typeof value === 'number' && !Number.isSafeInteger(value)) refuseField(path, 'must be a whole number')
    return
  }
  if (depth === 0) refuseField(path, 'is nested too deeply')
  for (const [key, item] of Object.entries<JsonValue>(value)) {
    if (key === '__proto__') refuseField(path, 'has a key that is not allowed')
    checkFree(item, Array.isArray(value) ? `${path}[${key}]` : `${path}.${key.slice(0, 64)}`, depth - 1)
  }
}

/**
 * An object with only these fields. Canonical order makes its bytes a subsequence of the sorted fields, so one pass
 * over both refuses unknown, repeated and unsorted keys at once. `starts[i]` receives where the value of fields[i]
 * begins, or -1.
 */
export function closed(fields: readonly Field[], starts?: Int32Array): Rule {
  checkSorted(fields)
  const steps = fields.map((field) => ({ ...field, key: Buffer.from(`"${field.name}":`) }))
  const known = new Map(fields.map((field) => [field.name, field]))
  const lastRequired = fields.findLastIndex((field) => field.required === true)
  return {
    scan(bytes, at) {
      if (bytes[at] !== OPEN_OBJECT) return -1
      starts?.fill(-1)
      let next = at + 1
      for (let index = 0; index < steps.length; index += 1) {
        const step = steps[index]
        if (step === undefined) return -1
        const from = matchKey(bytes, next, step.key)
        if (from < 0) {
          if (step.required === true) return -1
          continue
        }
        if (starts !== undefined) starts[index] = from
        const end = step.rule.scan(bytes, from)
        if (end < 0) return -1
        if (bytes[end] !== COMMA) return index >= lastRequired && bytes[end] === CLOSE_OBJECT ? end + 1 : -1
        next = end + 1
      }
      // Out of fields without an end: fine only for an object that has none.
      return next === at + 1 && bytes[next] === CLOSE_OBJECT ? next + 1 : -1
    },
    check(value, path) {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) {
        return refuseField(path, 'must be an object')
      }
      const members = new Map(Object.entries<JsonValue>(value))
      for (const [key, member] of members) {
        const field = known.get(key)
        if (field === undefined)
          return refuseField(join(path, JSON.stringify(key.slice(0, 64))), 'is not known')
        field.rule.check(member, join(path, key))
      }
      for (const field of fields) {
        if (field.required === true && !members.has(field.name))
          refuseField(join(path, field.name), 'is missing')
      }
    },
  }
}

// The offset behind `key` if that is what stands at `at`, else -1.
function matchKey(bytes: Uint8Array, at: number, key: Uint8Array): number {
  for (let index = 0; index < key.length; index += 1) {
    if (bytes[at + index] !== key[index]) return -1
  }
  return at + key.length
}

function checkSorted(fields: readonly Field[]): void {
  fields.forEach((field, index) => {
    const before = fields[index - 1]
    if (before !== undefined && before.name >= field.name)
      refuseField(field.name, 'is out of order in the grammar')
  })
}

function digitAt(bytes: Uint8Array, at: number): number {
  const code = bytes[at] ?? 0
  return code >= 0x30 && code <= 0x39 ? code - 0x30 : -1
}

// A sum only picks the word to compare with.
function sumOf(word: string): number {
  return Buffer.from(word).reduce(addTo, 0)
}

function addTo(sum: number, byte: number): number {
  return (Math.imul(sum, 31) + byte) | 0
}

function join(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`
}
