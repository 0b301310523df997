// Durations as people type them: 500ms, 10s, 5m, 2h, 1d, and sums such as 1m30s.
import { quoted, usageError } from './usage-error.ts'

const UNIT_MS: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
])
const LONGEST_MS = 30 * 86_400_000

/** Milliseconds of a duration of at most 30 days; `what` names the flag. Errors: ZT-400-USAGE. */
export function parseDuration(text: string, what: string): number {
  const hint = `${what} takes a number with a unit, for example 10s, 5m or 1m30s`
  if (text.length > 24 || !/^(?:\d+(?:ms|s|m|h|d))+$/.test(text)) {
    throw usageError(`${what} is not a duration: ${quoted(text)}`, hint)
  }
  let total = 0
  for (const [, amount, unit] of text.matchAll(/(\d+)(ms|[smhd])/g)) {
    total += Number(amount) * (UNIT_MS.get(unit ?? '') ?? Number.NaN)
  }
  if (!Number.isSafeInteger(total) || total > LONGEST_MS) throw usageError(`${what} is over 30 days`, hint)
  return total
}
