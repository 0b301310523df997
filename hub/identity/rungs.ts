// The intermediates that the hub issues under. It steps from rung to rung by the clock, takes up a ladder that was
// imported while it runs, and says early when the ladder ends.
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import type { TrustBundle } from '#shared/x509/bundle.ts'
import type { SvidValidator } from '#shared/x509/svid.ts'
import { privateFolder } from '#pki/keystore/private-file.ts'
import { openSealedKeyStore } from '#pki/keystore/sealed-file.ts'
import type { Issuer } from '#pki/issuance/issue.ts'
import type { Ladder, LadderStatus } from '#pki/issuance/ladder.ts'
import { LadderStore } from '#pki/issuance/ladder-store.ts'
import type { RowWriter } from '../audit/rows.ts'

export interface LadderPlace {
  readonly stateDir: string
  readonly secretFile: string
  readonly hub: SpiffeId
}

export interface RungParts {
  readonly place: LadderPlace
  readonly trust: SvidValidator
  readonly clock: Clock
  readonly log: Logger
}

const ladderDir = (stateDir: string): string => join(stateDir, 'ladder')
const ladderKeysDir = (stateDir: string): string => join(stateDir, 'ladder-keys')

/** The ladder's files and keys. `stateDir` must be there. Errors: see LadderStore.open(). */
export async function openLadderStore(
  place: LadderPlace,
  { now, bundle }: { readonly now: number; readonly bundle: TrustBundle | undefined },
): Promise<LadderStore> {
  const keys = await openSealedKeyStore({ dir: ladderKeysDir(place.stateDir), secretFile: place.secretFile })
  return LadderStore.open({ dir: ladderDir(place.stateDir), keys, hub: place.hub, now }, bundle)
}

async function openLadder({ place, trust, clock }: RungParts): Promise<Ladder> {
  return (await openLadderStore(place, { now: clock.now(), bundle: trust.bundle })).ladder
}

async function stamp({ place }: RungParts): Promise<string> {
  return (await readdir(ladderDir(place.stateDir))).toSorted().join(' ')
}

export class Rungs {
  readonly #parts: RungParts
  #ladder: Ladder
  #stamp: string
  #told: string | undefined

  private constructor(parts: RungParts, ladder: Ladder, seen: string) {
    this.#parts = parts
    this.#ladder = ladder
    this.#stamp = seen
  }

  /** Verifies every response that is there. Errors: see LadderStore.open(). */
  static async open(parts: RungParts): Promise<Rungs> {
    await privateFolder(ladderDir(parts.place.stateDir), 'ladder folder')
    // Stamped before it is read: what is imported in between is taken up at the next refresh.
    const seen = await stamp(parts)
    return new Rungs(parts, await openLadder(parts), seen)
  }

  /** Throws ZT-503-LADDER. */
  workload(): Issuer {
    return this.#ladder.current(this.#parts.clock.now()).workload
  }

  /** Throws ZT-503-LADDER. */
  infra(): Issuer {
    return this.#ladder.current(this.#parts.clock.now()).infra
  }

  status(): LadderStatus {
    return this.#ladder.status(this.#parts.clock.now())
  }

  /** Takes up what was imported since; `force` also when the roots have changed. Errors: see LadderStore.open(). */
  async refresh(force = false): Promise<void> {
    const seen = await stamp(this.#parts)
    if (!force && seen === this.#stamp) return
    this.#ladder = await openLadder(this.#parts)
    this.#stamp = seen
  }

  /** Writes a row for a step onto another rung, and warns while few are left. */
  async tell(rows: RowWriter): Promise<void> {
    const { remaining, alarm, current, until } = this.status()
    const step = `${current ?? 'none'} ${until ?? 0}`
    if (step === this.#told) return
    const facts = {
      remaining,
      ...(current !== undefined && { rung: current }),
      ...(until !== undefined && { until }),
    }
    await rows.append({ type: 'ladder.stepped', out: current === undefined ? 'error' : 'info', obj: facts })
    this.#told = step
    if (alarm) this.#parts.log.warn('the ladder ends soon: run a ladder ceremony', facts)
  }
}
