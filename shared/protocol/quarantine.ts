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
    if (first === undefined) return undefined
    const { thumbprint: _, ...suspicion } = first
    return suspicion
  }

  /** As of(), for a process and what it wrote: because of its owner, or of the node that ran it and says so. */
  ofProcess({ owner, node, began, ended }: RunProcess): Suspicion | undefined {
    const deed = { id: owner, began, ...(ended !== undefined && { ended }) }
    const suspicions = [this.of(deed), ...this.ofNode(node).filter(overlaps({ began, ended }))]
    return suspicions.filter((found) => found !== undefined).toSorted((a, b) => a.since - b.since)[0]
  }

  /** When data of this node is suspect, earliest first: its machine may have written anything, whoever asked for it. */
  ofNode(id: string): readonly Suspicion[] {
    return (this.#byId.get(id) ?? [])
      .flatMap(({ thumbprint, ...suspicion }) => (thumbprint === undefined ? [suspicion] : []))
      .toSorted((a, b) => a.since - b.since)
  }
}

/**
 * Since when data of `id`, or of the node that keeps it, is suspect, milliseconds since 1970: the earliest moment that
 * the list knows, whether or not that denial still stands. Undefined for who was never denied.
 */
export function quarantinedSince(
  entries: readonly DenyEntry[],
  { id, node }: { readonly id: string; readonly node?: string },
): number | undefined {
  const moments = entries
    .filter(({ kind, value }) => kind === 'id' && (value === id || value === node))
    .map(({ from, since = from }) => since * 1000)
  return moments.length === 0 ? undefined : Math.min(...moments)
}

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
