// Every refusal becomes a row, but nobody can fill the log by being refused: beyond a small rate refusals are counted
// and written together (`flood.aggregated`), so the log stays bounded and no good row is lost (§3.7 A40).
import type { Clock, Timer } from '#shared/host/clock.ts'
import type { RowDraft } from '#shared/log/row.ts'
import { RateBucket, type RateLimit } from '../rate.ts'

export interface RejectionLimits {
  readonly rows: RateLimit
  readonly flushAfterMs: number
}

const LIMITS: RejectionLimits = { rows: { burst: 20, perSecond: 1 }, flushAfterMs: 10_000 }

export interface RejectionParts {
  readonly clock: Clock
  readonly append: (draft: RowDraft) => Promise<unknown>
  /** told when a row could not be written; the refusal itself stands */
  readonly failed: (cause: unknown) => void
  readonly limits?: RejectionLimits
}

export class Rejections {
  readonly #parts: RejectionParts
  readonly #limits: RejectionLimits
  readonly #bucket: RateBucket
  #counts = new Map<string, number>()
  #timer: Timer | undefined

  constructor(parts: RejectionParts) {
    this.#parts = parts
    this.#limits = parts.limits ?? LIMITS
    this.#bucket = new RateBucket(parts.clock, this.#limits.rows)
  }

  /** Writes a row of its own if the rate allows, else counts it. Resolves when nothing more is to be waited for. */
  async record(draft: RowDraft): Promise<void> {
    if (!this.#bucket.take()) {
      this.count(draft.code ?? 'ZT-500-INTERNAL')
      return
    }
    await this.#write(draft)
  }

  /** Counts what is not worth a row, such as a message that was dropped before it was read. */
  count(code: string): void {
    this.#counts.set(code, (this.#counts.get(code) ?? 0) + 1)
    this.#timer ??= this.#parts.clock.after(this.#limits.flushAfterMs, () => void this.flush())
  }

  /** Writes what was counted; call it before the log is closed. */
  async flush(): Promise<void> {
    this.#timer?.cancel()
    this.#timer = undefined
    if (this.#counts.size === 0) return
    const counts = this.#counts
    this.#counts = new Map()
    const rejected = Object.fromEntries([...counts].toSorted(([a], [b]) => (a < b ? -1 : 1)))
    await this.#write({ type: 'flood.aggregated', out: 'deny', obj: { rejected } })
  }

  async #write(draft: RowDraft): Promise<void> {
    try {
      await this.#parts.append(draft)
    } catch (cause) {
      // A full disk must not turn a refusal into anything else; commands are refused by the same disk at check 17.
      this.#parts.failed(cause)
    }
  }
}
