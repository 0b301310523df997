// Which data is suspect because of whom a hub has denied: what a denied identity did, and what a denied node says, from
// the moment on that the denial names. Nothing is hidden by this; every reader says it beside what it shows.
import type { DenyEntry } from './deny-list.ts'

/** Times are milliseconds since 1970. */
export interface Suspicion {
  readonly since: number
  /** data from then on is clean again; absent while the denial stands */
  readonly until?: number
  readonly reason: string
}

/** A stretch in which what a node says is suspect. */
export interface NodeSuspicion extends Suspicion {
  /** of the one certificate that is denied; absent where the node itself is */
  readonly certificate?: string
}

/** What somebody did, or had running. Times are milliseconds since 1970. */
export interface Deed {
  /** SPIFFE ID of who did it */
  readonly id: string
  /** of the certificate that it was done with, where that is known */
  readonly thumbprint?: string
  readonly began: number
  /** absent while it goes on */
  readonly ended?: number
}

/** A process of `owner` on `node`, both SPIFFE IDs. */
export interface RunProcess extends Omit<Deed, 'id' | 'thumbprint'> {
  readonly owner: string
  readonly node: string
}

interface Stretch extends Suspicion {
  readonly thumbprint?: string
}

export class Quarantine {
  readonly #byId = new Map<string, Stretch[]>()

  constructor(entries: readonly DenyEntry[]) {
    for (const entry of entries) {
      const id = entry.kind === 'id' ? entry.value : entry.id
      if (id === undefined) continue
      const held = this.#byId.get(id)
      if (held === undefined) this.#byId.set(id, [stretchOf(entry)])
      else held.push(stretchOf(entry))
    }
  }

  /**
   * Why the deed is suspect, or undefined. One that went on before the suspect time began and into it counts as a whole:
   * nobody can say which of its bytes are from when. Where it is not known with which certificate it was begun, it may
   * have been a denied one.
   */
  of({ id, thumbprint, began, ended }: Deed): Suspicion | undefined {
    const suspect = overlaps({ began, ended })
    const found = (this.#byId.get(id) ?? []).filter((stretch) => {
      if (!suspect(stretch)) return false
      const denied = stretch.thumbprint
      if (denied === undefined) return true
      return began >= stretch.since && (thumbprint === undefined || thumbprint === denied)
    })
    const [first] = found.toSorted((a, b) => a.since - b.since)
    return first === undefined ? undefined : suspicionOf(first)
  }

  /** As of(), for a process and what it wrote: because of its owner, or of the node that ran it and says so. */
  ofProcess({ owner, node, began, ended }: RunProcess): Suspicion | undefined {
    const deed = { id: owner, began, ...(ended !== undefined && { ended }) }
    // That it ended in time is what a denied machine says of itself. A machine of which one certificate is denied goes on
    // to be believed with the next.
    const ofItsNode = this.ofNode(node).filter((stretch) =>
      overlaps({ began, ended: stretch.certificate === undefined ? undefined : ended })(stretch),
    )
    const [first] = [this.of(deed), ...ofItsNode.map(suspicionOf)]
      .filter((found) => found !== undefined)
      .toSorted((a, b) => a.since - b.since)
    return first
  }

  /**
   * When data of this node is suspect, earliest first: its machine may have written anything, whoever asked for it, and
   * whoever had a copied certificate of it could speak as the node until that ended.
   */
  ofNode(id: string): readonly NodeSuspicion[] {
    return (this.#byId.get(id) ?? [])
      .map(({ thumbprint, ...suspicion }) => ({
        ...suspicion,
        ...(thumbprint !== undefined && { certificate: thumbprint }),
      }))
      .toSorted((a, b) => a.since - b.since)
  }

  /** Why something that this node said at that moment is suspect, or undefined. */
  ofNodeAt(id: string, moment: number): Suspicion | undefined {
    const [first] = this.ofNode(id).filter(overlaps({ began: moment, ended: moment }))
    return first === undefined ? undefined : suspicionOf(first)
  }
}

const suspicionOf = ({ since, until, reason }: Suspicion): Suspicion => ({
  since,
  ...(until !== undefined && { until }),
  reason,
})

function stretchOf({ kind, value, from, since = from, until, exp, reason }: DenyEntry): Stretch {
  // Nothing is done with a certificate that has ended: it needs nobody to close its stretch.
  const end = until ?? exp
  return {
    since: since * 1000,
    ...(end !== undefined && { until: end * 1000 }),
    ...(kind === 'thumbprint' && { thumbprint: value }),
    reason,
  }
}

function overlaps({
  began,
  ended = Infinity,
}: {
  readonly began: number
  readonly ended: number | undefined
}): (stretch: Suspicion) => boolean {
  return ({ since, until = Infinity }) => began < until && ended >= since
}
