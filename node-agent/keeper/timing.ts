// Waiting, by the clock that was handed in.
import type { Clock, Timer } from '#shared/host/clock.ts'

// The longest delay that a Node timer can have; one that is longer would fire at once.
const LONGEST_MS = 2 ** 31 - 1

/** Like clock.after, for any number of milliseconds. */
export function afterLong(clock: Clock, delayMs: number, action: () => void): Timer {
  let timer = arm(delayMs)
  function arm(leftMs: number): Timer {
    if (leftMs <= LONGEST_MS) return clock.after(leftMs, action)
    return clock.after(LONGEST_MS, () => {
      timer = arm(leftMs - LONGEST_MS)
    })
  }
  return { cancel: () => timer.cancel() }
}

const nothing = new Int32Array(new SharedArrayBuffer(4))

/** Gives the processor away for a fraction of a millisecond: no timer of Node is that short. Nothing else runs here. */
export function standStill(delayMs: number): void {
  Atomics.wait(nothing, 0, 0, delayMs)
}
