// Which rows of a log are quarantined: those whose actor is denied, and of a denied node all that nobody else had seen
// when the suspect time began. Rows are taken as they come and counted when it is known who is denied.
import type { RowBody } from '#shared/log/row.ts'
import type { Quarantine, Suspicion } from '#shared/protocol/quarantine.ts'
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
  readonly rows: { readonly seq: number; readonly ts: number | undefined }[]
}

export class SuspectRows {
  readonly #actors = new Map<string, Actor>()
  #size = 0

  take({ seq, ts, actor }: RowBody): void {
    this.#size = seq + 1
    const { caller, sub, x5t } = actor ?? {}
    if (caller === undefined && sub === undefined) return
    const key = `${caller ?? ''} ${sub ?? ''} ${x5t ?? ''}`
    const known = this.#actors.get(key)
    if (known === undefined) this.#actors.set(key, { caller, sub, x5t, rows: [{ seq, ts }] })
    else known.rows.push({ seq, ts })
  }

  /** Undefined for a log without any. `keeper` is of a node's log. */
  count(quarantine: Quarantine, keeper?: Keeper): SuspectCount | undefined {
    const from = new Map<string, Suspicion & { id: string; rows: number }>()
    const add = (id: string, suspicion: Suspicion, rows: number): void => {
      const held = from.get(id)
      const earliest = held === undefined || suspicion.since < held.since ? suspicion : held
      from.set(id, { ...earliest, id, rows: (held?.rows ?? 0) + rows })
    }
    const firstOfNode = keeper === undefined ? Infinity : this.#countNode(quarantine, keeper, add)
    for (const actor of this.#actors.values())
      for (const { seq, ts } of actor.rows) {
        const found = seq < firstOfNode ? suspicionOf(actor, ts, quarantine) : undefined
        if (found !== undefined) add(found.id, found.suspicion, 1)
      }
    return summary([...from.values()])
  }

  /** The first row of the denied node's that is suspect; Infinity if none is. */
  #countNode(
    quarantine: Quarantine,
    { id, witnessed }: Keeper,
    add: (id: string, suspicion: Suspicion, rows: number) => void,
  ): number {
    // A log that began when the node had been allowed again is of another joining.
    const [suspicion] = quarantine
      .ofNode(id)
      .filter(({ until = Infinity }) => (witnessed?.registeredAt ?? 0) < until)
    if (suspicion === undefined) return Infinity
    const first = sizeBefore(witnessed, suspicion.since)
    if (this.#size <= first) return Infinity
    add(id, suspicion, this.#size - first)
    return first
  }
}

// Times in a node's rows are what the node says. What the hub had anchored before the suspect time is from before it;
// of everything else only the node says when it was written.
function sizeBefore(witnessed: WitnessedLog | undefined, since: number): number {
  const before = (witnessed?.anchors ?? []).filter(({ at }) => at !== undefined && at < since)
  return Math.max(0, ...before.map(({ size }) => size))
}

function suspicionOf(
  { caller, sub, x5t }: Actor,
  ts: number | undefined,
  quarantine: Quarantine,
): { id: string; suspicion: Suspicion } | undefined {
  // A row that says no time may be of any.
  const moment = ts === undefined ? { began: 0 } : { began: ts, ended: ts }
  for (const id of new Set([caller, sub])) {
    if (id === undefined) continue
    const thumbprint =
      x5t === undefined || (id === sub && sub !== caller && caller !== undefined) ? {} : { thumbprint: x5t }
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
