// Who was denied and allowed again, as the hub's log tells it: rows that have been verified, and that no hub can take
// back. The deny list forgets after a long time; the log does not.
import type { JsonValue } from '#shared/encoding/json-value.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { RowBody } from '#shared/log/row.ts'
import type { DenyEntry } from '#shared/protocol/deny-list.ts'

export class Revocations {
  #entries: DenyEntry[] = []
  #lastAt = 0

  /** As a deny list says it. */
  get entries(): readonly DenyEntry[] {
    return this.#entries
  }

  /** Time of the newest row: whoever was denied later is not known. UTC, milliseconds; 0 for a log without rows. */
  get lastAt(): number {
    return this.#lastAt
  }

  /** Takes a verified row of a hub's log. ZT-422-SCHEMA for a revocation of nobody: it must not pass for none. */
  take(row: RowBody): void {
    this.#lastAt = Math.max(this.#lastAt, row.ts ?? 0)
    if (row.type === 'identity.revoked') this.#entries.push(entryOf(row))
    else if (row.type === 'identity.restored') this.#close(row)
  }

  #close(row: RowBody): void {
    const { kind, value } = entryOf(row)
    const until = Math.ceil((row.ts ?? 0) / 1000)
    // Nobody is denied by rows from before; those that said it twice are all over.
    this.#entries = this.#entries.map((entry) =>
      entry.kind === kind && entry.value === value && entry.until === undefined
        ? { ...entry, until: Math.max(entry.from, until) }
        : entry,
    )
  }
}

function entryOf({ seq, ts = 0, obj = {} }: RowBody): DenyEntry {
  const { id, x5t, reason, since, not_after: notAfter } = obj
  if (typeof id !== 'string' || (x5t !== undefined && typeof x5t !== 'string'))
    throw new ZtError('ZT-422-SCHEMA', `row ${seq} of the hub's log names no identity`, { details: { seq } })
  const from = secondsOf(ts)
  return {
    ...(x5t === undefined ? { kind: 'id', value: id } : { kind: 'thumbprint', value: x5t, id }),
    from,
    since: Math.min(from, isTime(since) ? secondsOf(since) : from),
    ...(isTime(notAfter) && { exp: secondsOf(notAfter) }),
    reason: typeof reason === 'string' ? reason : '',
  }
}

const isTime = (value: JsonValue | undefined): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0

const secondsOf = (ms: number): number => Math.floor(ms / 1000)
