// Lets the log be read, by whom policy lets: signed heads, and the tiles that prove them. Reading is itself a row, one
// for a reader and a minute: a row for every tile would make the log grow faster than it can be read.
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { DurableLog } from '#shared/host/durable-log.ts'
import { ENTRY_AT } from '#shared/log/record.ts'
import { encodeEntries } from '#shared/log/tiles.ts'
import type { VerifiedSvid } from '#shared/x509/svid.ts'
import { requireAllowed, type Policy } from '../authority/policy.ts'
import { actorOf } from './rows.ts'

const NOTE_EVERY_MS = 60_000
const MAX_ENTRIES = 256
// Encoded three times over (in JSON, signed, sealed) it stays below what a receipt may hold.
const MAX_ENTRIES_BYTES = 256 * 1024

export class LogReader {
  readonly #log: Pick<DurableLog, 'append' | 'checkpoint' | 'records' | 'tile'>
  readonly #policy: Policy
  readonly #clock: Clock
  readonly #noted = new Map<string, number>()

  constructor(parts: {
    readonly log: Pick<DurableLog, 'append' | 'checkpoint' | 'records' | 'tile'>
    readonly policy: Policy
    readonly clock: Clock
  }) {
    this.#log = parts.log
    this.#policy = parts.policy
    this.#clock = parts.clock
  }

  /** The newest signed head. ZT-403-POLICY, ZT-503-AUDIT. */
  async checkpoint(reader: VerifiedSvid): Promise<string> {
    await this.#admit(reader)
    return this.#log.checkpoint().note
  }

  /** One file of the tiled form (C2SP tlog-tiles). ZT-403-POLICY, ZT-422-SCHEMA if there is no such tile, ZT-503-AUDIT. */
  async tile(path: string, reader: VerifiedSvid): Promise<Uint8Array> {
    await this.#admit(reader)
    const tile = this.#log.tile(path)
    if (tile === undefined) throw new ZtError('ZT-422-SCHEMA', 'the log has no such tile yet')
    return tile
  }

  /**
   * Entries from row `from` on, framed as in an entry bundle (C2SP tlog-tiles): as many as one message carries, at least
   * one. ZT-403-POLICY, ZT-422-SCHEMA beyond the end, ZT-503-AUDIT.
   */
  async entries(from: number, reader: VerifiedSvid): Promise<Uint8Array> {
    await this.#admit(reader)
    const entries: Uint8Array[] = []
    let length = 0
    for (const record of this.#log.records(from, from + MAX_ENTRIES)) {
      const entry = record.bytes.subarray(ENTRY_AT)
      length += entry.length
      if (entries.length > 0 && length > MAX_ENTRIES_BYTES) break
      entries.push(entry)
    }
    if (entries.length === 0) throw new ZtError('ZT-422-SCHEMA', 'the log has no such row yet')
    return encodeEntries(entries)
  }

  async #admit(reader: VerifiedSvid): Promise<void> {
    const judgement = this.#policy.onHub(reader.id, { action: 'log.read' })
    requireAllowed(judgement)
    const now = this.#clock.now()
    const noted = this.#noted.get(reader.id)
    if (noted !== undefined && now >= noted && now - noted < NOTE_EVERY_MS) return
    await this.#log.append({ type: 'audit.read', out: 'allow', actor: actorOf(reader), pol: judgement.row })
    for (const [id, at] of this.#noted) if (now - at >= NOTE_EVERY_MS) this.#noted.delete(id)
    this.#noted.set(reader.id, now)
  }
}
