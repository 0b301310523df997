// The audit log as a stream of JSON lines: one moment of it, whatever is appended while it is read.
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { ZtError } from '#shared/errors/error.ts'
import { claimedHead } from '#shared/log/checkpoint.ts'
import type { StoredRow } from '#shared/log/record.ts'
import type { DurableLog } from '#shared/host/durable-log.ts'
import { formatExportLine } from '#shared/protocol/audit-export.ts'
import type { OutputSource, SourceChunk, StreamName } from './source.ts'

export interface LogExport {
  readonly log: DurableLog
  readonly vkeys: readonly string[]
  /** first row */
  readonly from: number
  /** signed note of the head that the export ends with */
  readonly head: string
}

const ONLY: readonly StreamName[] = ['stdout']

/** Rows are encoded as they are asked for; nothing but the part of a line that did not fit is kept. */
export class LogSource implements OutputSource {
  readonly streams: readonly StreamName[] = ONLY
  readonly #lines: Iterator<string>
  #rest: Buffer = Buffer.alloc(0)
  #offset = 0

  constructor(options: LogExport) {
    this.#lines = linesOf(options)
  }

  /** The offset must be the next one: an export that was broken off begins again. */
  async read(_stream: StreamName, offset: number, maxBytes: number): Promise<SourceChunk> {
    if (offset !== this.#offset) throw new ZtError('ZT-422-SCHEMA', 'an export is read from its beginning')
    const { bytes, end } = this.#take(maxBytes)
    this.#offset += bytes.length
    return { data: bytes, offset, end }
  }

  async exit(): Promise<Record<never, never>> {
    return {}
  }

  async close(): Promise<void> {
    this.#lines.return?.()
  }

  #take(maxBytes: number): { bytes: Buffer; end: boolean } {
    const parts = [this.#rest]
    let length = this.#rest.length
    let end = false
    while (length < maxBytes && !end) {
      const next = this.#lines.next()
      if (next.done === true) end = true
      else {
        const part = Buffer.from(next.value, 'utf8')
        parts.push(part)
        length += part.length
      }
    }
    const all = Buffer.concat(parts, length)
    this.#rest = all.subarray(maxBytes)
    return { bytes: all.subarray(0, maxBytes), end: end && this.#rest.length === 0 }
  }
}

function* linesOf({ log, vkeys, from, head: newest }: LogExport): Generator<string, undefined> {
  const { size } = claimedHead(newest)
  yield formatExportLine({ kind: 'log', origin: log.origin, vkeys, from, size })
  for (const note of log.checkpoints()) {
    const head = claimedHead(note).size
    if (head > from && head < size) yield formatExportLine({ kind: 'head', note })
  }
  yield formatExportLine({ kind: 'head', note: newest })
  for (const row of log.rows(from, size)) yield formatExportLine({ kind: 'row', ...encode(row) })
  return undefined
}

function encode({ seq, prev, body, hash }: StoredRow): {
  seq: number
  prev: string
  body: string
  hash: string
} {
  return { seq, prev: encodeBase64url(prev), body: encodeBase64url(body), hash: encodeBase64url(hash) }
}
