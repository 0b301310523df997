// The intermediates that the hub issues under. It steps from rung to rung by the clock, takes up a ladder that was
// imported while it runs, and says early when the ladder ends.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import type { TrustBundle } from '#shared/x509/bundle.ts'
import { privateFolder } from '#pki/keystore/private-file.ts'
import type { SealKeeper } from '#pki/keystore/seal-keeper.ts'
import { openSealedKeyStore } from '#pki/keystore/sealed-file.ts'
import type { Ladder, LadderStatus, Rung, RungIssuer } from '#pki/issuance/ladder.ts'
import { LadderStore } from '#pki/issuance/ladder-store.ts'
import type { LadderResponse } from '#pki/issuance/ladder-response.ts'
import type { RowWriter } from '../audit/rows.ts'
import type { Trust } from './trust.ts'

export interface LadderPlace {
  readonly stateDir: string
  /** who keeps the secret of the ladder's keys */
  readonly keeper: SealKeeper
  readonly hub: SpiffeId
}

export interface RungParts {
  readonly place: LadderPlace
  readonly trust: Pick<Trust, 'validator' | 'publishedAt'>
  /**
   * Life of an SVID, milliseconds: everybody who is there has renewed once in it, and so has the bundle that brings a new
   * root. The hub issues under one, in the place of another, no earlier; see Trust.publishedAt().
   */
  readonly svidTtlMs: number
  readonly clock: Clock
  readonly log: Logger
}

export interface RequestFile {
  readonly content: Uint8Array
  /** hex SHA-256: what the ceremony file must say */
  readonly sha256: string
}

const ladderDir = (stateDir: string): string => join(stateDir, 'ladder')
const ladderKeysDir = (stateDir: string): string => join(stateDir, 'ladder-keys')

/** The ladder's files and keys. `stateDir` must be there. Errors: see LadderStore.open(). */
export async function openLadderStore(
  place: LadderPlace,
  { now, bundle }: { readonly now: number; readonly bundle: TrustBundle | undefined },
): Promise<LadderStore> {
  const keys = await openSealedKeyStore({ dir: ladderKeysDir(place.stateDir), keeper: place.keeper })
  return LadderStore.open({ dir: ladderDir(place.stateDir), keys, hub: place.hub, now }, bundle)
}

function openStore({ place, trust, clock }: RungParts): Promise<LadderStore> {
  return openLadderStore(place, { now: clock.now(), bundle: trust.validator.bundle })
}

async function stamp({ place }: RungParts): Promise<string> {
  const names = await readdir(ladderDir(place.stateDir))
  return names
    .filter((name) => name.startsWith('response-'))
    .toSorted()
    .join(' ')
}

export class Rungs {
  readonly #parts: RungParts
  #store: LadderStore
  #stamp: string
  #told: string | undefined
  /** One change after the other. */
  #last: Promise<unknown> = Promise.resolve()

  private constructor(parts: RungParts, store: LadderStore, seen: string) {
    this.#parts = parts
    this.#store = store
    this.#stamp = seen
  }

  /** Verifies every response that is there. Errors: see LadderStore.open(). */
  static async open(parts: RungParts): Promise<Rungs> {
    await privateFolder(ladderDir(parts.place.stateDir), 'ladder folder')
    // Stamped before it is read: what is imported in between is taken up at the next refresh.
    const seen = await stamp(parts)
    return new Rungs(parts, await openStore(parts), seen)
  }

  /** Throws ZT-503-LADDER. */
  workload(): RungIssuer {
    return this.#ladder.current(this.#parts.clock.now()).workload
  }

  /** Throws ZT-503-LADDER. */
  infra(): RungIssuer {
    return this.#ladder.current(this.#parts.clock.now()).infra
  }

  status(): LadderStatus {
    return this.#ladder.status(this.#parts.clock.now())
  }

  /** The rungs from now on, without a gap, the current one first. */
  ahead(): readonly Rung[] {
    return this.#ladder.ahead(this.#parts.clock.now())
  }

  /** Takes up what was imported since; `force` also when the roots have changed. Errors: see LadderStore.open(). */
  refresh(force = false): Promise<void> {
    return this.#inTurn(() => this.#refresh(force))
  }

  /** Makes the next request, with keys of its own. Throws ZT-422-CEREMONY for a count that is not 1 to 30. */
  request(wish: { readonly count: number; readonly fresh: boolean }): Promise<RequestFile> {
    return this.#inTurn(async () => {
      const { file, sha256 } = await this.#store.makeRequest({ ...wish, now: this.#parts.clock.now() })
      return { content: await readFile(file), sha256 }
    })
  }

  /**
   * Takes up a response. `announce` is awaited when all of it is verified and nothing is kept yet. Throws what
   * LadderStore.importResponse() throws, and ZT-422-CEREMONY while its root is not published long enough
   * (details.wait_s).
   */
  import(content: Uint8Array, announce: (response: LadderResponse) => Promise<void>): Promise<void> {
    return this.#inTurn(async () => {
      await this.#refresh(false)
      const { trust, clock } = this.#parts
      const under = { bundle: trust.validator.bundle, now: clock.now() }
      await this.#store.importResponse(content, under, async (response) => {
        this.#requirePublished(response.root)
        await announce(response)
      })
      this.#stamp = await stamp(this.#parts)
    })
  }

  /** Writes a row for a step onto another rung, and one more and a warning while few are left. */
  async tell(rows: RowWriter): Promise<void> {
    const { remaining, alarm, current, until } = this.status()
    const step = `${this.ahead()[0]?.workload.certificate.keyId ?? 'none'} ${until ?? 0}`
    if (step === this.#told) return
    const facts = {
      remaining,
      ...(current !== undefined && { rung: current }),
      ...(until !== undefined && { until }),
    }
    await rows.append({ type: 'ladder.stepped', out: current === undefined ? 'error' : 'info', obj: facts })
    if (alarm) {
      await rows.append({ type: 'ladder.alarm', out: 'error', obj: facts })
      this.#parts.log.warn('the ladder ends soon: run a ladder ceremony', facts)
    }
    this.#told = step
  }

  get #ladder(): Ladder {
    return this.#store.ladder
  }

  async #refresh(force: boolean): Promise<void> {
    const seen = await stamp(this.#parts)
    if (!force && seen === this.#stamp) return
    this.#store = await openStore(this.#parts)
    this.#stamp = seen
  }

  // Whoever holds a bundle without the new root could not verify a thing that is issued under it. (A ladder under the
  // root in use, and one where nothing can be issued at all, wait for nobody.)
  #requirePublished(root: string): void {
    const { trust, clock, svidTtlMs } = this.#parts
    const [inUse] = this.ahead()
    const published = trust.publishedAt(root, svidTtlMs)
    if (inUse === undefined || inUse.workload.root === root || published === undefined) return
    const waitMs = published - clock.now()
    if (waitMs <= 0) return
    throw new ZtError(
      'ZT-422-CEREMONY',
      'check-publish: not everybody can have the bundle of that root yet',
      {
        details: { check: 'check-publish', wait_s: Math.ceil(waitMs / 1000) },
      },
    )
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work)
    this.#last = done.catch(() => undefined)
    return done
  }
}
