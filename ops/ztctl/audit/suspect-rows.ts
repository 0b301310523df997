// Which rows of a log are quarantined: those whose actor is denied, or the owner of the task that they are about, and of a
// denied node all that nobody else had seen when the suspect time began. Rows are taken as they come and counted when it is known who is denied.
import type { RowBody } from '#shared/log/row.ts'
import type { NodeSuspicion, Quarantine, Suspicion } from '#shared/protocol/quarantine.ts'
import type { WitnessedLog } from './witnessed.ts'

export interface SuspectCount extends Suspicion {
  readonly rows: number
  /** because of whom, most rows first */
  readonly by: readonly (Suspicion & { readonly id: string; readonly rows: number })[]
}

/** The node whose log it is: its SPIFFE ID, and what the hub's log says of its log, if that is known. */
export interface Keeper {
  readonly id: string
  readonly witnessed?: WitnessedLog | undefined
}

interface Actor {
  readonly caller: string | undefined
  readonly sub: string | undefined
  readonly x5t: string | undefined
  /** of the task that the row is about */
  readonly owner: string | undefined
  readonly rows: { readonly seq: number; readonly ts: number | undefined }[]
}

export class SuspectRows {
  readonly #actors = new Map<string, Actor>()
  readonly #times: number[] = []
  #size = 0

  /** Of a log that cannot be had: how many rows of it the hub anchored, and of none what it says. */
  static unread({ anchors }: WitnessedLog): SuspectRows {
    const rows = new SuspectRows()
    rows.#size = Math.max(0, ...anchors.map(({ size }) => size))
    return rows
  }

  take({ seq, ts, actor, obj }: RowBody): void {
    this.#size = seq + 1
    if (ts !== undefined) this.#times.push(ts)
    const { caller, sub, x5t } = actor ?? {}
    const owner = typeof obj?.['owner'] === 'string' ? obj['owner'] : undefined
    if (caller === undefined && sub === undefined && owner === undefined) return
    const key = JSON.stringify([caller, sub, x5t, owner])
    const known = this.#actors.get(key)
    if (known === undefined) this.#actors.set(key, { caller, sub, x5t, owner, rows: [{ seq, ts }] })
    else known.rows.push({ seq, ts })
  }

  /** Rows that say they are from after that moment, UTC milliseconds. */
  laterThan(moment: number): number {
    return this.#times.filter((ts) => ts > moment).length
  }

  /** Undefined for a log without any. `keeper` is of a node's log. */
  count(quarantine: Quarantine, keeper?: Keeper): SuspectCount | undefined {
    const from = new Map<string, Suspicion & { id: string; rows: number }>()
    const add = (id: string, suspicion: Suspicion, rows: number): void => {
      const held = from.get(id)
      const earliest = held === undefined || suspicion.since < held.since ? suspicion : held
      from.set(id, { ...earliest, id, rows: (held?.rows ?? 0) + rows })
    }
    const isOfNode = keeper === undefined ? () => false : this.#countNode(quarantine, keeper, add)
    for (const actor of this.#actors.values())
      for (const { seq, ts } of actor.rows) {
        const found = isOfNode(seq) ? undefined : suspicionOf(actor, ts, quarantine)
        if (found !== undefined) add(found.id, found.suspicion, 1)
      }
    return summary([...from.values()])
  }

  /** Adds the rows that are suspect because of the node; true for those. */
  #countNode(
    quarantine: Quarantine,
    { id, witnessed }: Keeper,
    add: (id: string, suspicion: Suspicion, rows: number) => void,
  ): (seq: number) => boolean {
    // A log that began when the node had been allowed again is of another joining.
    const ranges = quarantine
      .ofNode(id)
      .filter(({ until = Infinity }) => (witnessed?.registeredAt ?? 0) < until)
      .map((suspicion) => rangeOf(suspicion, witnessed))
    let counted = 0
    for (const { first, end, suspicion } of ranges) {
      const last = Math.min(end, this.#size)
      const rows = last - Math.max(first, counted)
      if (rows > 0) add(id, suspicion, rows)
      counted = Math.max(counted, last)
    }
    return (seq) => ranges.some(({ first, end }) => seq >= first && seq < end)
  }
}

interface Range {
  readonly first: number
  /** the first row behind it */
  readonly end: number
  readonly suspicion: Suspicion
}

// What was written while a denied certificate lived was there when the hub anchored the next head. A denied node's machine
// may have written the rest of its log too.
function rangeOf({ certificate, ...suspicion }: NodeSuspicion, witnessed: WitnessedLog | undefined): Range {
  const first = sizeBefore(witnessed, suspicion.since)
  const { until } = suspicion
  const end = certificate === undefined || until === undefined ? Infinity : sizeFrom(witnessed, until)
  return { first, end, suspicion }
}

// Times in a node's rows are what the node says. What the hub had anchored before the suspect time is from before it;
// of everything else only the node says when it was written.
function sizeBefore(witnessed: WitnessedLog | undefined, since: number): number {
  const before = (witnessed?.anchors ?? []).filter(({ at }) => at !== undefined && at < since)
  return Math.max(0, ...before.map(({ size }) => size))
}

function sizeFrom(witnessed: WitnessedLog | undefined, until: number): number {
  const later = (witnessed?.anchors ?? []).filter(({ at }) => at !== undefined && at >= until)
  return Math.min(Infinity, ...later.map(({ size }) => size))
}

function suspicionOf(
  { caller, sub, x5t, owner }: Actor,
  ts: number | undefined,
  quarantine: Quarantine,
): { id: string; suspicion: Suspicion } | undefined {
  // A row that says no time may be of any.
  const moment = ts === undefined ? { began: 0 } : { began: ts, ended: ts }
  for (const id of new Set([caller, sub, owner])) {
    if (id === undefined) continue
    // The certificate is of who called, and of nobody else whom the row names.
    const thumbprint = x5t !== undefined && id === (caller ?? sub) ? { thumbprint: x5t } : {}
    const suspicion = quarantine.of({ id, ...thumbprint, ...moment })
    if (suspicion !== undefined) return { id, suspicion }
  }
  return undefined
}

function summary(by: SuspectCount['by']): SuspectCount | undefined {
  const [first] = by.toSorted((a, b) => a.since - b.since)
  if (first === undefined) return undefined
  const { since, until, reason } = first
  return {
    rows: by.reduce((sum, { rows }) => sum + rows, 0),
    since,
    ...(until !== undefined && { until }),
    reason,
    by: by.toSorted((a, b) => b.rows - a.rows),
  }
}
