// The rows of the audit log as a stream: one moment of it, whatever is appended while it is read. Each entry (hash of
// the row before, and the row's body) follows its length in two bytes, as in an entry bundle of C2SP tlog-tiles.
import { ZtError } from '#shared/errors/error.ts'
import type { DurableLog } from '#shared/host/durable-log.ts'
import { ENTRY_AT } from '#shared/log/record.ts'
import { encodeEntries } from '#shared/log/tiles.ts'
import type { OutputSource, SourceChunk, StreamName } from './source.ts'

export interface LogExport {
  readonly log: Pick<DurableLog, 'records'>
  /** first row */
  readonly from: number
  /** the row behind the last one */
  readonly to: number
}

const ONLY: readonly StreamName[] = ['stdout']

/** Rows are read as they are asked for; nothing but the part of an entry that did not fit is kept. */
export class LogSource implements OutputSource {
  readonly streams: readonly StreamName[] = ONLY
  readonly #entries: Generator<Uint8Array, undefined>
  #rest: Uint8Array = new Uint8Array()
  #offset = 0

  constructor(options: LogExport) {
    this.#entries = entriesOf(options)
  }

  /** The offset must be the next one: an export that was broken off begins again. */
  async read(_stream: StreamName, offset: number, maxBytes: number): Promise<SourceChunk> {
    if (offset !== this.#offset) throw new ZtError('ZT-422-SCHEMA', 'an export is read from its beginning')
    const { data, end } = this.#take(maxBytes)
    this.#offset += data.length
    return { data, offset, end }
  }

  /** Rows have no exit status. */
  async exit(): Promise<Record<never, never>> {
    return {}
  }

  async close(): Promise<void> {
    this.#entries.return(undefined)
  }

  #take(maxBytes: number): { data: Uint8Array; end: boolean } {
    const parts = [this.#rest]
    let length = this.#rest.length
    let end = false
    while (length < maxBytes && !end) {
      const next = this.#entries.next()
      if (next.done === true) end = true
      else {
        parts.push(next.value)
        length += next.value.length
      }
    }
    const all = Buffer.concat(parts, length)
    this.#rest = all.subarray(maxBytes)
    return { data: all.subarray(0, maxBytes), end: end && this.#rest.length === 0 }
  }
}

function* entriesOf({ log, from, to }: LogExport): Generator<Uint8Array, undefined> {
  for (const record of log.records(from, to)) yield encodeEntries([record.bytes.subarray(ENTRY_AT)])
  return undefined
}
