// The heads of the hub's log that a node holds: it wrote them into its own log when the hub confirmed an anchor, and
// into every row after that. A hub that has rewritten its log since cannot rewrite these.
import { decodeBase64url } from '#shared/encoding/base64url.ts'
import type { JsonObject, JsonValue } from '#shared/encoding/json-value.ts'
import { ZtError, isZtError } from '#shared/errors/error.ts'
import type { TreeHead } from '#shared/log/checkpoint.ts'
import { HASH_BYTES, type Hash } from '#shared/log/hash.ts'
import type { RowBody } from '#shared/log/row.ts'

export interface HeldHead extends TreeHead {
  /** the first row that names it */
  readonly seq: number
  /** the node, or the file, whose row that is */
  readonly holder: string
  /** the log that it is a head of, where the row says so */
  readonly origin?: string
}

export class HeldHeads {
  readonly #holder: string
  readonly #heads = new Map<string, HeldHead>()

  constructor(holder: string) {
    this.#holder = holder
  }

  /** Takes a row that holds. ZT-490-ANCHOR when what it names is no head. */
  take(row: RowBody): void {
    if (row.hubcp !== undefined) this.#add(row, row.hubcp)
    if (row.type === 'anchor.confirmed') this.#add(row, headIn(row))
  }

  /** Those in the first `rows` rows: what is behind the newest head that the node signed, it does not answer for. */
  within(rows: number): readonly HeldHead[] {
    return [...this.#heads.values()].filter(({ seq }) => seq < rows)
  }

  // Most rows name the head of the row before: only the first of them is kept.
  #add(row: RowBody, { size, root, origin }: NamedHead): void {
    const key = `${size} ${root} ${origin ?? ''}`
    if (this.#heads.has(key)) return
    const head = { size, root: rootIn(row, root), seq: row.seq, holder: this.#holder }
    this.#heads.set(key, origin === undefined ? head : { ...head, origin })
  }
}

interface NamedHead {
  readonly size: number
  readonly root: string
  readonly origin?: string
}

function headIn(row: RowBody): NamedHead {
  const hub = row.obj?.['hub']
  if (!isObject(hub)) throw noHead(row)
  const { origin, size, root } = hub
  if (typeof origin !== 'string' || typeof root !== 'string') throw noHead(row)
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) throw noHead(row)
  return { origin, size, root }
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function rootIn(row: RowBody, text: string): Hash {
  let root: Hash
  try {
    root = decodeBase64url(text, 'root')
  } catch (cause) {
    if (!isZtError(cause)) throw cause
    throw noHead(row, cause)
  }
  if (root.length !== HASH_BYTES) throw noHead(row)
  return root
}

function noHead(row: RowBody, cause?: unknown): ZtError {
  return new ZtError('ZT-490-ANCHOR', `row ${row.seq} names no head of the hub's log`, {
    cause,
    details: { seq: row.seq },
  })
}
