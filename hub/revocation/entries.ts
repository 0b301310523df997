// How the deny list changes: who is denied is added, who is let in again leaves a closed entry behind, and what can have
// no effect any more is forgotten. Pure: whoever calls these writes the row and the store.
import { isOpen, type DenyEntry } from '#shared/protocol/deny-list.ts'

/** Closed stretches of one identity, or of one certificate, that are told apart; beyond that the oldest become one. */
const MAX_STRETCHES = 4
/** Seconds for which a closed entry still says which data is suspect: nodes keep no output for so long. */
export const KEEP_CLOSED_S: number = 400 * 86_400
/** Seconds after its end in which a certificate may still be taken by somebody whose clock is behind. */
const SKEW_S = 60

type Target = Pick<DenyEntry, 'kind' | 'value'>

const isAbout =
  ({ kind, value }: Target) =>
  (entry: DenyEntry): boolean =>
    entry.kind === kind && entry.value === value

/** The entry that denies the target now. */
export function openEntry(entries: readonly DenyEntry[], target: Target): DenyEntry | undefined {
  return entries.find((entry) => isAbout(target)(entry) && isOpen(entry))
}

/**
 * With `entry`. Where the target is denied already, all that can change is that more of its data is suspect; the same
 * list if not even that does.
 */
export function withDenied(entries: readonly DenyEntry[], entry: DenyEntry): readonly DenyEntry[] {
  const held = openEntry(entries, entry)
  if (held === undefined) return [...entries, entry]
  const { since = entry.from } = entry
  if (since >= (held.since ?? held.from)) return entries
  return entries.map((each) => (each === held ? { ...held, since } : each))
}

/** With the target allowed again from `now` on, in seconds; the same list if it was not denied. */
export function withLifted(entries: readonly DenyEntry[], target: Target, now: number): readonly DenyEntry[] {
  const held = openEntry(entries, target)
  if (held === undefined) return entries
  const closed = { ...held, until: Math.max(held.from, now) }
  return joined(
    entries.map((entry) => (entry === held ? closed : entry)),
    target,
  )
}

/**
 * Closes what denies a certificate that has ended, and forgets what was closed KEEP_CLOSED_S ago; the same list if there
 * is nothing of either. An identity stays denied for ever: the hub would issue it a new certificate.
 */
export function tidied(entries: readonly DenyEntry[], now: number): readonly DenyEntry[] {
  const kept = entries.filter(({ until = Infinity }) => until + KEEP_CLOSED_S > now)
  const hasEnded = (entry: DenyEntry): entry is DenyEntry & { exp: number } =>
    isOpen(entry) && entry.exp !== undefined && entry.exp + SKEW_S < now
  if (kept.length === entries.length && !kept.some(hasEnded)) return entries
  return kept.map((entry) =>
    hasEnded(entry) ? { ...entry, until: Math.max(entry.from, entry.exp + SKEW_S) } : entry,
  )
}

/** As large as these entries can become: saying more of one of them, and lifting it, must always fit. */
export function largest(entries: readonly DenyEntry[], now: number): readonly DenyEntry[] {
  return entries.map((entry) => {
    const { from, since = from, until = now } = entry
    return { ...entry, since, until: Math.max(from, until) }
  })
}

// Two stretches become one that covers both and what lies between: more is suspect than need be, never less.
function joined(entries: readonly DenyEntry[], target: Target): readonly DenyEntry[] {
  const stretches = entries.filter((entry) => isAbout(target)(entry) && !isOpen(entry))
  const [first, second] = stretches
  if (stretches.length <= MAX_STRETCHES || first === undefined || second === undefined) return entries
  const since = Math.min(first.since ?? first.from, second.since ?? second.from)
  const both = { ...second, from: Math.max(since, first.from), since }
  return entries.flatMap((entry) => (entry === first ? [] : entry === second ? [both] : [entry]))
}
