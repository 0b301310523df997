// What to write about a process whose end the log does not know, given what the keeper knows of it. A pure decision, so
// that every pair of states is looked at once, here, and nowhere else.
import type { ProcRecord } from '../keeper/record.ts'
import type { ProcessRecord } from '../audit/process-table.ts'

export type Finding =
  /** the log knows as much as there is to know */
  | { readonly kind: 'nothing' }
  /** it runs, and the log does not say that it started */
  | { readonly kind: 'started' }
  /** it ran and ended; `started`: the log does not say that it started either */
  | { readonly kind: 'exited'; readonly started: boolean }
  /** the program never ran */
  | { readonly kind: 'failed' }
  /** nobody knows what became of it */
  | { readonly kind: 'unknown'; readonly why: 'no-record' | 'keeper-ended' }

/** `kept` is undefined if the keeper has no record: it makes one before a program can run. */
export function reconcile(recorded: Pick<ProcessRecord, 'state'>, kept: ProcRecord | undefined): Finding {
  if (recorded.state !== 'accepted' && recorded.state !== 'running') return { kind: 'nothing' }
  if (kept === undefined) return { kind: 'unknown', why: 'no-record' }
  const unstarted = recorded.state === 'accepted'
  switch (kept.state) {
    // The keeper is about to start it: its own events will say what came of it.
    case 'starting':
      return { kind: 'nothing' }
    case 'running':
      return unstarted ? { kind: 'started' } : { kind: 'nothing' }
    case 'exited':
      return { kind: 'exited', started: unstarted }
    case 'failed':
      return unstarted ? { kind: 'failed' } : { kind: 'unknown', why: 'keeper-ended' }
    case 'lost':
      return { kind: 'unknown', why: 'keeper-ended' }
  }
}
