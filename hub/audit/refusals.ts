// Rows for what was refused. Anybody can be refused as often as they like, so beyond a rate refusals are counted and
// written together: an attacker can neither fill the disk nor crowd out the rows of what was allowed.
import type { ErrorCode } from '#shared/errors/codes.ts'
import { isZtError } from '#shared/errors/error.ts'
import type { Clock, Timer } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'
import type { RowDraft } from '#shared/log/row.ts'
import type { RowType } from '#shared/log/row-types.ts'
import type { RowWriter } from './rows.ts'

export interface Refusal extends Omit<RowDraft, 'type' | 'out' | 'code'> {
  readonly type: RowType
}

const BURST = 100
const PER_SECOND = 20
const SUMMARY_MS = 10_000
const MAX_KINDS = 100

export class Refusals {
  readonly #rows: RowWriter
  readonly #clock: Clock
  readonly #log: Logger
  #tokens = BURST
  #at: number
  #counted = new Map<string, number>()
  #summary: Timer | undefined
  // An error that is passed on is met again by who called: it is one refusal, and one row.
  readonly #recorded = new WeakSet<object>()

  constructor(parts: { readonly rows: RowWriter; readonly clock: Clock; readonly log: Logger }) {
    this.#rows = parts.rows
    this.#clock = parts.clock
    this.#log = parts.log
    this.#at = parts.clock.now()
  }

  /**
   * Writes or counts the refusal, once for every error. Never rejects: what was refused stays refused whether or not the row could be
   * written, and the log says if it could not.
   */
  async record(refusal: Refusal, error: unknown): Promise<void> {
    if (error instanceof Error) {
      if (this.#recorded.has(error)) return
      this.#recorded.add(error)
    }
    const code = isZtError(error) ? error.code : 'ZT-500-INTERNAL'
    if (!this.#withinRate()) {
      this.#count(`${refusal.type} ${code}`)
      return
    }
    const details = isZtError(error) ? error.details : {}
    const obj = Object.keys(details).length === 0 ? refusal.obj : { ...refusal.obj, details }
    await this.#write({ ...refusal, out: 'deny', code, ...(obj !== undefined && { obj }) })
  }

  /** Counts what was dropped unopened, which is worth no row of its own; `from` is whom its subject names. */
  count({
    type,
    code,
    from,
  }: {
    readonly type: RowType
    readonly code: ErrorCode
    readonly from: string
  }): void {
    this.#count(`${type} ${code} ${from.slice(0, 63)}`)
  }

  /** Writes what is counted so far; for the end of the hub. */
  async flush(): Promise<void> {
    this.#summary?.cancel()
    this.#summary = undefined
    if (this.#counted.size === 0) return
    const counts = Object.fromEntries(this.#counted)
    this.#counted = new Map()
    await this.#write({ type: 'flood.aggregated', out: 'deny', obj: { counts } })
  }

  #withinRate(): boolean {
    const now = this.#clock.now()
    this.#tokens = Math.min(BURST, this.#tokens + (Math.max(0, now - this.#at) / 1000) * PER_SECOND)
    this.#at = now
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }

  #count(kind: string): void {
    const key = this.#counted.has(kind) || this.#counted.size < MAX_KINDS ? kind : 'other'
    this.#counted.set(key, (this.#counted.get(key) ?? 0) + 1)
    this.#summary ??= this.#clock.after(SUMMARY_MS, () => void this.flush())
  }

  async #write(draft: RowDraft): Promise<void> {
    try {
      await this.#rows.append(draft)
    } catch (error) {
      this.#log.error('a refusal could not be written to the log', { error, kind: draft.type })
    }
  }
}
