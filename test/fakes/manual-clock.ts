// A clock that stands still until a test moves it; timers run in order of their time while it moves.
import type { Clock, Timer } from '#shared/host/clock.ts'

interface Pending {
  readonly at: number
  readonly action: () => void
}

export class ManualClock implements Clock {
  #nowMs: number
  #steppedMs = 0
  #pending: Pending[] = []

  constructor(nowMs: number = Date.UTC(2026, 10, 22)) {
    this.#nowMs = nowMs
  }

  now(): number {
    return this.#nowMs + this.#steppedMs
  }

  monotonicNs(): bigint {
    return BigInt(this.#nowMs) * 1_000_000n
  }

  after(delayMs: number, action: () => void): Timer {
    const entry = { at: this.#nowMs + delayMs, action }
    this.#pending.push(entry)
    return {
      cancel: () => {
        this.#pending = this.#pending.filter((other) => other !== entry)
      },
    }
  }

  /** Sets the time of day by `ms`, as a person or NTP does: no time passes, so no timer falls due. */
  step(ms: number): void {
    this.#steppedMs += ms
  }

  /** Moves time by `ms` milliseconds and runs every timer that falls due on the way. */
  advance(ms: number): void {
    const end = this.#nowMs + ms
    for (;;) {
      const next = this.#pending.filter((entry) => entry.at <= end).toSorted((a, b) => a.at - b.at)[0]
      if (next === undefined) break
      this.#pending = this.#pending.filter((entry) => entry !== next)
      this.#nowMs = Math.max(this.#nowMs, next.at)
      next.action()
    }
    this.#nowMs = end
  }
}
