// When the claimed times of two neighbouring rows contradict each other unless a `clock.stepped` row says so.
// The writer asks before it writes, the verifier asks again with the same function.

export interface RowTime {
  /** claimed UTC, ms; -1 when the row claims none */
  readonly ts: number
  /** ms and ns of the monotonic clock of `boot`; -1 when the row has none */
  readonly monoMs: number
  readonly monoNs: number
  readonly boot: string
}

const STEP_MS = 5_000
// A clock that is slewed by NTP differs from a free one by at most 500 ppm; twice that is no longer slewing.
const DRIFT_PER_MS = 1 / 1_000

export type TimeOrder = 'in-order' | 'stepped' | 'mono-went-back'

/** Compares two rows that follow each other; times that one of them does not claim are not compared. */
export function timeOrder(before: RowTime, after: RowTime): TimeOrder {
  if (before.boot === after.boot && before.monoMs >= 0 && after.monoMs >= 0) return withinBoot(before, after)
  if (before.ts < 0 || after.ts < 0) return 'in-order'
  // Across boots nothing says how long the machine was off, only that time does not run backwards.
  return after.ts < before.ts - STEP_MS ? 'stepped' : 'in-order'
}

function withinBoot(before: RowTime, after: RowTime): TimeOrder {
  const monoMs = after.monoMs - before.monoMs
  if (monoMs < 0 || (monoMs === 0 && after.monoNs < before.monoNs)) return 'mono-went-back'
  if (before.ts < 0 || after.ts < 0) return 'in-order'
  const drift = Math.abs(after.ts - before.ts - monoMs)
  return drift > STEP_MS + monoMs * DRIFT_PER_MS ? 'stepped' : 'in-order'
}
