// Token buckets on the monotonic clock: a clock that is set cannot refill one.
import type { Clock } from '#shared/host/clock.ts'

export interface RateLimit {
  readonly burst: number
  readonly perSecond: number
}

export class RateBucket {
  readonly #clock: Clock
  readonly #limit: RateLimit
  #level: number
  #atNs: bigint

  constructor(clock: Clock, limit: RateLimit) {
    this.#clock = clock
    this.#limit = limit
    this.#level = limit.burst
    this.#atNs = clock.monotonicNs()
  }

  /** Takes one token; false if there is none. */
  take(): boolean {
    this.#refill()
    if (this.#level < 1) return false
    this.#level -= 1
    return true
  }

  get full(): boolean {
    this.#refill()
    return this.#level >= this.#limit.burst
  }

  #refill(): void {
    const now = this.#clock.monotonicNs()
    const seconds = Number(now - this.#atNs) / 1e9
    this.#atNs = now
    this.#level = Math.min(this.#limit.burst, this.#level + seconds * this.#limit.perSecond)
  }
}

/** One bucket a sender; only verified senders come here, so strangers cannot fill the table. */
export class SenderRates {
  readonly #clock: Clock
  readonly #limit: RateLimit
  readonly #buckets = new Map<string, RateBucket>()
  readonly #maxSenders: number

  constructor(clock: Clock, limit: RateLimit, maxSenders: number = 10_000) {
    this.#clock = clock
    this.#limit = limit
    this.#maxSenders = maxSenders
  }

  take(sender: string): boolean {
    const bucket = this.#buckets.get(sender) ?? new RateBucket(this.#clock, this.#limit)
    if (!this.#buckets.has(sender)) {
      if (this.#buckets.size >= this.#maxSenders) this.#dropFull()
      this.#buckets.set(sender, bucket)
    }
    return bucket.take()
  }

  /** A full bucket holds no memory of its sender, so it can be forgotten. */
  #dropFull(): void {
    for (const [sender, bucket] of this.#buckets) if (bucket.full) this.#buckets.delete(sender)
  }
}
