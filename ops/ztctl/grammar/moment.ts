// A moment of the past as people type it: in RFC 3339, or as how long ago it is.
import { parseDuration } from './duration.ts'
import { quoted, usageError } from './usage-error.ts'

const RFC_3339 = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)$/

/** Milliseconds since 1970; `what` names the flag, `now` is UTC milliseconds. Errors: ZT-400-USAGE. */
export function parseMoment(text: string, what: string, now: number): number {
  if (/^\d+[a-z]/.test(text)) return now - parseDuration(text, what)
  const at = RFC_3339.test(text) ? Date.parse(text.toUpperCase()) : Number.NaN
  const hint = `${what} takes how long ago it was, such as 2h, or a time such as 2026-01-31T08:00:00Z`
  if (Number.isNaN(at) || at < 0) throw usageError(`${what} is no moment: ${quoted(text)}`, hint)
  if (at > now) throw usageError(`${what} is a time to come: ${quoted(text)}`, hint)
  return at
}
