// Cuts a byte stream into JSON lines. A line over the limit ends the stream: what follows it could mean anything.
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import type { JsonValue } from '#shared/encoding/json-value.ts'
import { ZtError } from '#shared/errors/error.ts'

const NEWLINE = 0x0a

export class JsonLines {
  readonly #maxBytes: number
  #pending: Buffer[] = []
  #pendingBytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** The lines that `chunk` completes. Errors: ZT-413-SIZE, ZT-422-SCHEMA; the stream cannot be read any further then. */
  push(chunk: Buffer): JsonValue[] {
    const values: JsonValue[] = []
    let rest = chunk
    for (let at = rest.indexOf(NEWLINE); at >= 0; at = rest.indexOf(NEWLINE)) {
      values.push(this.#complete(rest.subarray(0, at)))
      rest = rest.subarray(at + 1)
    }
    this.#pending.push(rest)
    this.#pendingBytes += rest.length
    if (this.#pendingBytes > this.#maxBytes) throw new ZtError('ZT-413-SIZE', 'a line is too long')
    return values
  }

  #complete(tail: Buffer): JsonValue {
    const line = Buffer.concat([...this.#pending, tail])
    this.#pending = []
    this.#pendingBytes = 0
    return parseStrictJson(line, { maxBytes: this.#maxBytes })
  }
}
