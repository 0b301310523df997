// What is kept of processes that have ended: the output of the latest, and longer the record that they were, without
// which a process id could be used again.
import { rmSync } from 'node:fs'
import type { Clock } from '#shared/host/clock.ts'
import { dropOutput } from './output-log.ts'
import { procDir, type ProcRecord } from './record.ts'

export interface RetentionLimits {
  /** processes whose output is kept */
  readonly outputs: number
  readonly records: number
  /** milliseconds after which neither is kept */
  readonly ageMs: number
}

export const DEFAULT_RETENTION: RetentionLimits = {
  outputs: 256,
  records: 10_000,
  ageMs: 7 * 24 * 3600 * 1000,
}

// A command is accepted for a minute at most, by clocks that may differ by less than one: until then the record must
// answer that its process id was used, however many came after it.
const NEVER_BEFORE_MS = 10 * 60 * 1000

/** Removes what is over the limits from disk, and answers which records are gone. */
export async function applyRetention(
  stateDir: string,
  finished: readonly ProcRecord[],
  { limits, clock }: { readonly limits: RetentionLimits; readonly clock: Clock },
): Promise<readonly ProcRecord[]> {
  const now = clock.now()
  const newestFirst = finished.toSorted((a, b) => (b.ended ?? b.began) - (a.ended ?? a.began))
  const isOld = (record: ProcRecord): boolean => now - (record.ended ?? record.began) > limits.ageMs
  const mayGo = (record: ProcRecord): boolean => now - (record.ended ?? record.began) > NEVER_BEFORE_MS
  const gone = newestFirst.filter(
    (record, rank) => isOld(record) || (rank >= limits.records && mayGo(record)),
  )
  for (const record of gone) rmSync(procDir(stateDir, record.proc), { recursive: true, force: true })
  const removed = new Set(gone)
  const silent = newestFirst.filter((record, rank) => rank >= limits.outputs && !removed.has(record))
  for (const record of silent) await dropOutput(procDir(stateDir, record.proc))
  return gone
}
