// JSON as two independent parsers would agree on it: I-JSON (RFC 7493) with integers only. Trusts nothing of its input.
// JSON.parse is not used on hostile bytes: it keeps the last of two equal keys and rounds integers above 2^53.
import { ZtError } from '#shared/errors/error.ts'
import type { JsonValue } from './json-value.ts'

export interface JsonLimits {
  readonly maxBytes: number
  /** nesting of arrays and objects; 16 unless given */
  readonly maxDepth?: number
}

/**
 * Parses one JSON text. Objects have no prototype, so a key never finds anything inherited.
 * Errors: ZT-413-SIZE over `maxBytes`; ZT-422-SCHEMA for everything else: bad UTF-8, a byte order mark, lone
 * surrogates, duplicate keys, the key `__proto__`, numbers that are not safe integers in plain decimal form,
 * negative zero, too deep nesting, and anything after the value.
 */
export function parseStrictJson(input: string | Uint8Array, limits: JsonLimits): JsonValue {
  return new Reader(readText(input, limits), limits.maxDepth ?? 16, safeInteger).document()
}

/** A number of a foreign text, as it is written there: its reader says which numbers it takes. */
export class JsonNumber {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

export type ForeignJson = Json<JsonNumber>

/**
 * As parseStrictJson(), for texts of others that may hold any number that RFC 8259 §6 allows, where we do not look or
 * beyond what a double holds. Errors are the same.
 */
export function parseForeignJson(input: string | Uint8Array, limits: JsonLimits): ForeignJson {
  const reader = new Reader(readText(input, limits), limits.maxDepth ?? 16, (text) => new JsonNumber(text))
  return reader.document()
}

type Json<N> = string | boolean | null | N | readonly Json<N>[] | { readonly [key: string]: Json<N> }

/** Makes the value of a number's text, or says what is wrong with it. */
type ReadNumber<N> = (text: string, fail: (what: string) => never) => N

const safeInteger: ReadNumber<number> = (text, fail) => {
  if (/[.eE]/.test(text)) fail('a number is not a plain integer')
  const value = Number(text)
  if (!Number.isSafeInteger(value)) fail('a number is not a safe integer')
  if (Object.is(value, -0)) fail('a number is negative zero')
  return value
}

function readText(input: string | Uint8Array, { maxBytes }: JsonLimits): string {
  const size = typeof input === 'string' ? Buffer.byteLength(input) : input.byteLength
  if (size > maxBytes) throw new ZtError('ZT-413-SIZE', `json text is larger than ${maxBytes} bytes`)
  return decodeText(input)
}

// ignoreBOM keeps a byte order mark in the text, where the grammar refuses it (RFC 8259 §8.1).
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function decodeText(input: string | Uint8Array): string {
  if (typeof input !== 'string') {
    try {
      return utf8.decode(input)
    } catch (cause) {
      throw new ZtError('ZT-422-SCHEMA', 'json text is not valid utf-8', { cause })
    }
  }
  if (!input.isWellFormed()) throw new ZtError('ZT-422-SCHEMA', 'json text holds a lone surrogate')
  return input
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const SIMPLE_ESCAPES: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ['\\', '\\'],
  ['/', '/'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
])

/** One pass over one text; `#at` is the next character to read. */
class Reader<N> {
  readonly #text: string
  readonly #maxDepth: number
  readonly #readNumber: ReadNumber<N>
  #at = 0

  constructor(text: string, maxDepth: number, readNumber: ReadNumber<N>) {
    this.#text = text
    this.#maxDepth = maxDepth
    this.#readNumber = readNumber
  }

  document(): Json<N> {
    const value = this.#value(0)
    this.#space()
    if (this.#at !== this.#text.length) this.#fail('text after the value')
    return value
  }

  #value(depth: number): Json<N> {
    this.#space()
    switch (this.#text.charAt(this.#at)) {
      case '{':
        return this.#object(depth + 1)
      case '[':
        return this.#array(depth + 1)
      case '"':
        return this.#string()
      case 't':
        return this.#word('true', true)
      case 'f':
        return this.#word('false', false)
      case 'n':
        return this.#word('null', null)
      default:
        return this.#number()
    }
  }

  #object(depth: number): Json<N> {
    this.#enter(depth)
    const members = Object.create(null) as Record<string, Json<N>>
    if (this.#closes('}')) return members
    do {
      this.#space()
      if (this.#text[this.#at] !== '"') this.#fail('a key must be a string')
      const key = this.#string()
      if (key === '__proto__') this.#fail('the key "__proto__" is not allowed')
      if (key in members) this.#fail('an object has the same key twice')
      this.#space()
      if (this.#text[this.#at] !== ':') this.#fail('a colon is missing')
      this.#at++
      members[key] = this.#value(depth)
    } while (this.#continues('}'))
    return members
  }

  #array(depth: number): Json<N> {
    this.#enter(depth)
    const items: Json<N>[] = []
    if (this.#closes(']')) return items
    do {
      items.push(this.#value(depth))
    } while (this.#continues(']'))
    return items
  }

  #enter(depth: number): void {
    if (depth > this.#maxDepth) this.#fail(`nested deeper than ${this.#maxDepth}`)
    this.#at++
  }

  /** True, and past it, if the container ends before its first item. */
  #closes(end: string): boolean {
    this.#space()
    if (this.#text[this.#at] !== end) return false
    this.#at++
    return true
  }

  /** After an item: true past a comma, false past the end of the container. */
  #continues(end: string): boolean {
    this.#space()
    const next = this.#text[this.#at]
    if (next !== ',' && next !== end) this.#fail('a comma or an end is missing')
    this.#at++
    return next === ','
  }

  #string(): string {
    const start = ++this.#at
    for (;;) {
      const code = this.#text.charCodeAt(this.#at)
      if (code === QUOTE) return this.#text.slice(start, this.#at++)
      if (code === BACKSLASH) return this.#escapedString(this.#text.slice(start, this.#at))
      this.#plain(code)
    }
  }

  /** The rest of a string that has an escape in it. */
  #escapedString(head: string): string {
    let text = head
    for (;;) {
      const code = this.#text.charCodeAt(this.#at)
      if (code === QUOTE) break
      if (code === BACKSLASH) text += this.#escape()
      else {
        text += this.#text[this.#at]
        this.#plain(code)
      }
    }
    this.#at++
    if (!text.isWellFormed()) this.#fail('a string holds a lone surrogate')
    return text
  }

  #plain(code: number): void {
    // NaN (end of text) fails this test too.
    if (!(code >= 0x20)) this.#fail('a string does not end or holds a control character')
    this.#at++
  }

  #escape(): string {
    const kind = this.#text.charAt(this.#at + 1)
    const simple = SIMPLE_ESCAPES.get(kind)
    if (simple !== undefined) {
      this.#at += 2
      return simple
    }
    const digits = this.#text.slice(this.#at + 2, this.#at + 6)
    if (kind !== 'u' || !/^[0-9A-Fa-f]{4}$/.test(digits)) this.#fail('an escape is not known')
    this.#at += 6
    return String.fromCharCode(Number.parseInt(digits, 16))
  }

  #number(): N {
    // RFC 8259 §6.
    const digits = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
    digits.lastIndex = this.#at
    const text = digits.exec(this.#text)?.[0]
    if (text === undefined) this.#fail('a value is missing')
    this.#at += text.length
    if (/[.eE0-9]/.test(this.#text.charAt(this.#at))) this.#fail('a number is not of the json form')
    return this.#readNumber(text, (what) => this.#fail(what))
  }

  #word<T extends boolean | null>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) this.#fail('a value is missing')
    this.#at += word.length
    return value
  }

  #space(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at)
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return
      this.#at++
    }
  }

  #fail(what: string): never {
    throw new ZtError('ZT-422-SCHEMA', `json is refused: ${what}`, { details: { offset: this.#at } })
  }
}
