// One row of an audit log: what it may say, its exact bytes, and the two hashes over them. Rows are hashed as stored,
// never re-encoded; a row whose bytes are not the canonical form of an allowed body is refused.
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import type { JsonObject } from '#shared/encoding/json-value.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { ZtError } from '#shared/errors/error.ts'
import { asBuffer, HASH_BYTES, sameBytes, sha256, type Hash } from './hash.ts'
import {
  charSet,
  closed,
  decimal,
  free,
  integer,
  list,
  oneOf,
  text,
  type Field,
  type Rule,
} from './row-grammar.ts'
import { ROW_OUTCOMES, ROW_TYPES, type RowOutcome, type RowType } from './row-types.ts'

export type { RowOutcome, RowType } from './row-types.ts'

/** 65,535 bytes of a C2SP entry, less the hash of the row before. */
export const MAX_BODY_BYTES = 65_503
export const GENESIS_PREV: Hash = new Uint8Array(HASH_BYTES)

export interface RowActor {
  /** origin principal */
  readonly sub?: string
  /** peer that sent the command */
  readonly caller?: string
  readonly executor?: string
  /** SHA-256 of the caller's certificate */
  readonly x5t?: string
}

export interface RowRequest {
  /** SHA-256 of the exact envelope and token bytes, never these themselves */
  readonly env?: string
  readonly tok?: string
  readonly jti?: string
  readonly nonce?: string
}

export interface RowPolicy {
  readonly bundle?: string
  readonly ver?: number
  readonly decision?: string
  readonly reasons?: readonly string[]
  /** SHA-256 of the canonical PDP input */
  readonly input?: string
}

/** What the writer of a row says; an absent field is omitted, never null or undefined. */
export interface RowDraft {
  readonly type: RowType
  readonly out?: RowOutcome
  readonly code?: string
  readonly txn?: string
  readonly cmd?: string
  /** parent row, `log#seq` */
  readonly par?: string
  readonly actor?: RowActor
  readonly req?: RowRequest
  readonly pol?: RowPolicy
  /** what belongs to the type: at most 8 deep, whole numbers only */
  readonly obj?: JsonObject
  /** commitment to what is kept encrypted elsewhere */
  readonly priv?: { readonly alg: 'sha-256-salted'; readonly c: string }
  /** newest verified head of the hub's log: a lower bound of this row's time */
  readonly hubcp?: { readonly size: number; readonly root: string }
}

export interface RowBody extends RowDraft {
  readonly v: 1
  readonly log: string
  readonly seq: number
  /** claimed UTC time, ms */
  readonly ts?: number
  /** nanoseconds since boot, decimal */
  readonly mono?: string
  readonly boot?: string
  /** id of the key that signs heads of this part of the log */
  readonly key?: string
}

const VISIBLE = charSet(/[!-~]/)
const PRINTABLE = charSet(/[ -~]/)
const ORIGIN = charSet(/[A-Za-z0-9._~/-]/)
const CODE = charSet(/[A-Z0-9-]/)
const HEX = charSet(/[0-9a-f]/)
const BASE64 = charSet(/[A-Za-z0-9+/=_-]/)

const id = text(VISIBLE, { max: 256 })
const name = text(VISIBLE, { max: 512 })
const digest = text(VISIBLE, { max: 128 })

const actor = closed(optional({ caller: name, executor: name, sub: name, x5t: digest }))
const req = closed(optional({ env: digest, jti: id, nonce: id, tok: digest }))
const pol = closed(
  optional({
    bundle: id,
    decision: id,
    input: digest,
    reasons: list(text(PRINTABLE, { max: 256 }), 64),
    ver: integer(0),
  }),
)
const priv = closed(required({ alg: oneOf(['sha-256-salted']), c: digest }))
const hubcp = closed(required({ root: text(BASE64, { min: 43, max: 44 }), size: integer(0) }))

const FIELDS: readonly Field[] = [
  ...optional({
    actor,
    boot: id,
    cmd: id,
    code: text(CODE, { max: 64 }),
    hubcp,
    key: text(HEX, { min: 8, max: 8 }),
  }),
  ...required({ log: text(ORIGIN, { max: 255 }) }),
  ...optional({ mono: decimal(20), obj: free(8), out: oneOf(ROW_OUTCOMES), par: name, pol, priv, req }),
  ...required({ seq: integer(0) }),
  ...optional({ ts: integer(0), txn: id }),
  ...required({ type: oneOf(ROW_TYPES), v: integer(1, 1) }),
]

const ROW = closed(FIELDS)

/** One scanner of row bodies and what it found in the last one: read it before the next scan. */
export class RowScan {
  readonly #starts = new Int32Array(FIELDS.length)
  readonly #rule: Rule = closed(FIELDS, this.#starts)
  #bytes: Uint8Array = new Uint8Array(0)

  /** True if the bytes from `at` to the end are the canonical form of an allowed body. */
  scan(bytes: Uint8Array, at: number): boolean {
    this.#bytes = bytes
    const length = bytes.length - at
    return length > 0 && length <= MAX_BODY_BYTES && this.#rule.scan(bytes, at) === bytes.length
  }

  get seq(): number {
    return this.#number(this.#start(SEQ), 0)
  }

  /** -1 when the row claims no time */
  get ts(): number {
    const start = this.#start(TS)
    return start < 0 ? -1 : this.#number(start, 0)
  }

  /** `mono` as whole milliseconds and the nanoseconds beyond them; -1 when the row has none. */
  get mono(): { readonly ms: number; readonly ns: number } {
    const start = this.#start(MONO)
    if (start < 0) return { ms: -1, ns: -1 }
    const split = Math.max(start + 1, this.#bytes.indexOf(QUOTE, start + 1) - 6)
    return { ms: this.#number(start + 1, split), ns: this.#number(split, 0) }
  }

  /** The text of a field, '' when the row has none. */
  text(field: TextField): string {
    const start = this.#start(TEXT_FIELDS[field])
    if (start < 0) return ''
    return asBuffer(this.#bytes).toString('latin1', start + 1, this.#bytes.indexOf(QUOTE, start + 1))
  }

  /** True if the field is exactly `quoted`: the same as comparing text(), without making one. */
  is(field: TextField, quoted: Uint8Array): boolean {
    const start = this.#start(TEXT_FIELDS[field])
    if (start < 0) return false
    for (let index = 0; index < quoted.length; index += 1) {
      if (this.#bytes[start + index] !== quoted[index]) return false
    }
    return true
  }

  #start(field: number): number {
    return this.#starts[field] ?? -1
  }

  // The digits from `at` up to `end`, or up to what is no digit.
  #number(at: number, end: number): number {
    let value = 0
    for (let next = at; next !== end; next += 1) {
      const digit = (this.#bytes[next] ?? 0) - 0x30
      if (digit < 0 || digit > 9) break
      value = value * 10 + digit
    }
    return value
  }
}

const QUOTE = 0x22
const MONO = fieldIndex('mono')
const SEQ = fieldIndex('seq')
const TS = fieldIndex('ts')

type TextField = 'boot' | 'key' | 'log' | 'type'

const TEXT_FIELDS: Readonly<Record<TextField, number>> = {
  boot: fieldIndex('boot'),
  key: fieldIndex('key'),
  log: fieldIndex('log'),
  type: fieldIndex('type'),
}

/** A text as it stands in a row. */
export function quoted(value: string): Uint8Array {
  return Buffer.from(JSON.stringify(value))
}

/**
 * The exact bytes of a row. ZT-422-SCHEMA names the field that no row may have; ZT-413-SIZE above 65,503 bytes.
 */
export function encodeRow(body: RowBody): Uint8Array {
  const bytes = canonicalBytes(body)
  if (bytes.length > MAX_BODY_BYTES) throw tooLong()
  if (!ENCODE_CHECK.scan(bytes, 0)) parseRow(bytes)
  return bytes
}

const ENCODE_CHECK = new RowScan()

/**
 * Reads stored bytes back. ZT-422-SCHEMA unless they are strict JSON, an allowed body and its canonical form;
 * ZT-413-SIZE above 65,503 bytes.
 */
export function parseRow(bytes: Uint8Array): RowBody {
  if (bytes.length > MAX_BODY_BYTES) throw tooLong()
  const value = parseStrictJson(bytes, { maxBytes: MAX_BODY_BYTES })
  ROW.check(value, '')
  if (!sameBytes(canonicalBytes(value), bytes))
    throw new ZtError('ZT-422-SCHEMA', 'the row is not canonical json')
  // ROW.check accepted every field of it.
  return Object.freeze(value) as unknown as RowBody
}

/** E = prev || body: what is hashed, and the entry that the tree and its tiles hold. */
export function entryOf(prev: Hash, body: Uint8Array): Uint8Array {
  return Buffer.concat([prev, body])
}

/** SHA-256(prev || body). */
export function rowHash(prev: Hash, body: Uint8Array): Hash {
  return sha256(entryOf(prev, body))
}

/** RFC 9162 §2.1.1: SHA-256(0x00 || entry). */
export function leafHash(entry: Uint8Array): Hash {
  return sha256(Buffer.concat([LEAF_PREFIX, entry]))
}

const LEAF_PREFIX = Buffer.of(0)

function required(rules: Readonly<Record<string, Rule>>): Field[] {
  return Object.entries(rules).map(([field, rule]) => ({ name: field, rule, required: true }))
}

function optional(rules: Readonly<Record<string, Rule>>): Field[] {
  return Object.entries(rules).map(([field, rule]) => ({ name: field, rule }))
}

function fieldIndex(field: string): number {
  return FIELDS.findIndex((candidate) => candidate.name === field)
}

function tooLong(): ZtError {
  return new ZtError('ZT-413-SIZE', `a row is longer than ${MAX_BODY_BYTES} bytes`)
}
