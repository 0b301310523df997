// Time as an input: everything that reads a clock or waits takes one of these, so that tests own time.

export interface Timer {
  cancel(): void
}

export interface Clock {
  /** UTC, milliseconds since 1970. May jump. */
  now(): number
  /** Nanoseconds of a clock that never goes back while the machine is up. */
  monotonicNs(): bigint
  /** Runs `action` once after `delayMs` milliseconds; the timer alone does not keep the process alive. */
  after(delayMs: number, action: () => void): Timer
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicNs: () => process.hrtime.bigint(),
  after(delayMs, action) {
    const timer = setTimeout(action, delayMs)
    timer.unref()
    return { cancel: () => clearTimeout(timer) }
  },
}

/** Resolves after `delayMs` milliseconds of `clock`, or at once when `signal` aborts: the caller looks at the signal. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) {
      resolve()
      return
    }
    const wake = (): void => {
      timer.cancel()
      signal?.removeEventListener('abort', wake)
      resolve()
    }
    const timer = clock.after(delayMs, wake)
    signal?.addEventListener('abort', wake, { once: true })
  })
}
