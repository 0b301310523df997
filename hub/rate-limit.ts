// Tokens in a bucket, one bucket a peer (an address, or a principal that proved itself): keeps one of them from taking
// all of the hub's time. It sheds load and protects nothing else.
import type { Clock } from '#shared/host/clock.ts'

export interface RateLimits {
  /** requests that may come at once */
  readonly burst: number
  readonly perSecond: number
}

const MAX_BUCKETS = 10_000

export class RateLimiter {
  readonly #clock: Clock
  readonly #limits: RateLimits
  readonly #buckets = new Map<string, { tokens: number; at: number }>()

  constructor(clock: Clock, limits: RateLimits) {
    this.#clock = clock
    this.#limits = limits
  }

  /** True if one more request of this peer is within its limits. */
  take(peer: string): boolean {
    const now = this.#clock.now()
    const { burst, perSecond } = this.#limits
    const bucket = this.#buckets.get(peer) ?? { tokens: burst, at: now }
    const earned = (Math.max(0, now - bucket.at) / 1000) * perSecond
    const tokens = Math.min(burst, bucket.tokens + earned)
    // Put back as the newest, so that the oldest is the one to forget.
    this.#buckets.delete(peer)
    this.#buckets.set(peer, { tokens: Math.max(0, tokens - 1), at: now })
    if (this.#buckets.size > MAX_BUCKETS) this.#forgetOldest()
    return tokens >= 1
  }

  #forgetOldest(): void {
    for (const peer of this.#buckets.keys()) {
      this.#buckets.delete(peer)
      return
    }
  }
}
