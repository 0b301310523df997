// Who was denied, for a reader that asks nobody: from the saved deny list, from the hub's own log, or from both. Without
// either it is not known, and then no row passes for clean.
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseNodeName, parseTrustDomain } from '#shared/identity/names.ts'
import { nodeId } from '#shared/identity/spiffe-id.ts'
import { isZtError } from '#shared/errors/error.ts'
import type { DenyEntry } from '#shared/protocol/deny-list.ts'
import { Quarantine } from '#shared/protocol/quarantine.ts'
import { readContexts, type Place } from '../client/contexts.ts'
import type { Invocation } from '../grammar/invocation.ts'
import { DENY_COPY, openDenyCopy } from './deny-copy.ts'
import type { DeniedAsOf, LogOutcome } from './outcome.ts'
import type { Revocations } from './revocations.ts'
import type { Keeper, SuspectRows } from './suspect-rows.ts'
import type { WitnessedLog } from './witnessed.ts'

/** Milliseconds by which the clock of a node may be ahead of the one that says since when a list is known. */
const SKEW_MS = 30_000

interface Known {
  readonly entries: readonly DenyEntry[]
  readonly asOf: DeniedAsOf
  /** it was asked for when the rows had been read: none of them is from after it, whatever clock its node has */
  readonly behind?: true
}

export class KnownDenials {
  readonly #known: (Omit<Known, 'entries'> & { readonly quarantine: Quarantine }) | undefined

  private constructor(known: Known | undefined) {
    if (known === undefined) return
    const { entries, ...rest } = known
    this.#known = { ...rest, quarantine: new Quarantine(entries) }
  }

  /**
   * From the copy that --deny-list names, else from the one beside `file`, and from `log`, a hub's log that was
   * verified. Errors: ZT-503-DENY-LIST for a copy that does not hold, also where the log alone would do.
   */
  static read(file: string, log: Revocations | undefined, { call, place }: Reader): KnownDenials {
    const beside = join(dirname(file), DENY_COPY)
    const copy = call.flags.one('deny-list') ?? (existsSync(beside) ? beside : undefined)
    const logged = log === undefined ? undefined : { entries: log.entries, asOf: { at: log.lastAt } }
    if (copy === undefined) return new KnownDenials(logged)
    const given = call.flags.one('root-fingerprint')
    const pinned = readContexts(place).contexts.map(({ root }) => root)
    const list = openDenyCopy(copy, given === undefined ? pinned : [given.toLowerCase(), ...pinned])
    const asOf = { at: Math.max(list.at, log?.lastAt ?? 0), version: list.ver }
    return new KnownDenials({ entries: [...list.entries, ...(log?.entries ?? [])], asOf })
  }

  /** What is known when all rows have been read: the list that the hub signs then, and what its log says. */
  static now({ entries, asOf }: Known): KnownDenials {
    return new KnownDenials({ entries, asOf, behind: true })
  }

  /** For whoever could not have the list. */
  static unknown(): KnownDenials {
    return new KnownDenials(undefined)
  }

  /** Of the rows of one log. Of those that are from after what is known it is not known. */
  count(rows: SuspectRows, keeper?: Keeper): Pick<LogOutcome, 'quarantined' | 'asOf' | 'unknownRows'> {
    if (this.#known === undefined) return { quarantined: 'unknown' }
    const { quarantine, asOf, behind } = this.#known
    const quarantined = rows.count(quarantine, keeper)
    return {
      ...(quarantined !== undefined && { quarantined }),
      asOf,
      unknownRows: behind === true ? 0 : rows.laterThan(asOf.at + SKEW_MS),
    }
  }
}

export interface Reader {
  readonly call: Invocation
  readonly place: Place
}

const NODE_LOG = /^([^/]+)\/log\/node\/([^/]+)\//

/** Whose log that is; undefined for the log of a hub, or of nobody. */
export function keeperOf(origin: string, witnessed: WitnessedLog | undefined): Keeper | undefined {
  const [, td, node] = NODE_LOG.exec(origin) ?? []
  try {
    if (td === undefined || node === undefined) return undefined
    return { id: nodeId(parseTrustDomain(td), parseNodeName(node)), witnessed }
  } catch (error) {
    if (isZtError(error)) return undefined
    throw error
  }
}
