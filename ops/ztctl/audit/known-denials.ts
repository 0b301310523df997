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
import type { LogOutcome } from './outcome.ts'
import type { Revocations } from './revocations.ts'
import type { Keeper, SuspectRows } from './suspect-rows.ts'
import type { WitnessedLog } from './witnessed.ts'

export class KnownDenials {
  readonly #quarantine: Quarantine | undefined

  private constructor(entries: readonly DenyEntry[] | undefined) {
    this.#quarantine = entries === undefined ? undefined : new Quarantine(entries)
  }

  /**
   * From the copy that --deny-list names, else from the one beside `file`, and from `log`, a hub's log that was
   * verified. Errors: ZT-503-DENY-LIST for a copy that does not hold, also where the log alone would do.
   */
  static read(file: string, log: Revocations | undefined, { call, place }: Reader): KnownDenials {
    const beside = join(dirname(file), DENY_COPY)
    const copy = call.flags.one('deny-list') ?? (existsSync(beside) ? beside : undefined)
    if (copy === undefined) return new KnownDenials(log?.entries)
    const given = call.flags.one('root-fingerprint')
    const pinned = readContexts(place).contexts.map(({ root }) => root)
    const { entries } = openDenyCopy(copy, given === undefined ? pinned : [given.toLowerCase(), ...pinned])
    return new KnownDenials([...entries, ...(log?.entries ?? [])])
  }

  /** Of the rows of one log. */
  count(rows: SuspectRows, keeper?: Keeper): Pick<LogOutcome, 'quarantined'> {
    if (this.#quarantine === undefined) return { quarantined: 'unknown' }
    const quarantined = rows.count(this.#quarantine, keeper)
    return quarantined === undefined ? {} : { quarantined }
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
