// Keeps what the hub and its broker show in line with the bundle and the ladder in force. A bundle may have revoked what
// they show, and a ladder may have brought another root: then both are issued anew at once, and whoever is connected with
// a certificate below a revoked intermediate is cut off, so that it comes again for another one. One does not wait for the
// other: a revocation that leaves nothing to issue under cuts off all the same.
import { isZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'
import type { RowWriter } from '../audit/rows.ts'
import type { SvidLedger } from '../store/store.ts'
import type { InfraIdentity } from './infra-identity.ts'
import type { Rungs } from './rungs.ts'
import type { Trust } from './trust.ts'

export interface UpkeepParts {
  readonly trust: Trust
  readonly rungs: Rungs
  readonly identity: Pick<InfraIdentity, 'renewNow'>
  readonly natsIdentity: Pick<InfraIdentity, 'renewNow'>
  readonly svids: Pick<SvidLedger, 'natsKeysBelow'>
  /** Ends the NATS connections and tokens of these user keys; see Broker.revoke(). */
  readonly revokeUsers: (publicKeys: readonly string[]) => Promise<void>
  readonly rows: RowWriter
  readonly clock: Clock
  readonly log: Logger
}

/** How long an answer may take to leave, milliseconds. */
const ANSWER_MS = 1000

/**
 * Takes up a newer bundle from bundleFile, as Trust.refresh() does; false also for one that cannot be taken: whatever
 * lies there, the bundle in force stands. Throws ZT-503-AUDIT, and what keeping a bundle throws.
 */
export async function lookForBundle(
  trust: Pick<Trust, 'refresh'>,
  rows: RowWriter,
  passedOver: (error: Error) => void,
): Promise<boolean> {
  try {
    return await trust.refresh(rows)
  } catch (error) {
    if (!isZtError(error, 'ZT-401-BUNDLE') && !isZtError(error, 'ZT-400-CONFIG')) throw error
    passedOver(error)
    return false
  }
}

export class TrustUpkeep {
  readonly #parts: UpkeepParts
  /** the bundle and the root of the rung under which hub and broker were issued last */
  #doneFor: string
  /** those that were there when this looked last */
  #seen: string
  /** the bundle that the rungs were read under */
  #readUnder: string
  /** connections below a revoked intermediate may be there still */
  #uncut: boolean
  /** what was last said of bundleFile */
  #said: string | undefined
  #last: Promise<unknown> = Promise.resolve()

  /** To be made when hub and broker show what was issued under the bundle and the ladder of this moment. */
  constructor(parts: UpkeepParts) {
    this.#parts = parts
    this.#doneFor = this.#state()
    this.#seen = this.#doneFor
    this.#readUnder = parts.trust.text
    // The hub that put this bundle in force may have crashed before it cut anybody off.
    this.#uncut = parts.trust.validator.bundle.revokedIntermediates.length > 0
  }

  /**
   * Takes up a bundle or a ladder that was put on disk, and does what follows from what is in force now. What fails keeps
   * nothing else from being done, and is tried again at the next call, until all of it has succeeded. Errors: those of the
   * parts, the first of them.
   */
  refresh(): Promise<void> {
    const done = this.#last.then(() => this.#refresh())
    this.#last = done.catch(() => undefined)
    return done
  }

  /** As refresh(), for who has changed something that stands in any case: a failure is logged, and tried again. */
  async changed(): Promise<void> {
    try {
      await this.refresh()
    } catch (error) {
      this.#parts.log.error('what follows from a new bundle or ladder could not all be done', { error })
    }
  }

  async #refresh(): Promise<void> {
    const looked = await settled(this.#look())
    const isNew = this.#state() !== this.#seen
    this.#seen = this.#state()
    this.#uncut ||= isNew
    const cut = await settled(isNew ? Promise.resolve() : this.#cutOff())
    // Without that, rungs that the bundle has revoked could still be there to issue under.
    const issued = looked.status === 'rejected' ? looked : await settled(this.#issueAnew())
    // Not at once: who brought the bundle may be below the revoked intermediate too, and is to hear the answer.
    if (isNew) this.#parts.clock.after(ANSWER_MS, () => void this.changed())
    for (const outcome of [looked, cut, issued]) if (outcome.status === 'rejected') throw outcome.reason
  }

  async #look(): Promise<void> {
    const { trust, rungs, rows, log } = this.#parts
    await lookForBundle(trust, rows, (error) => {
      if (error.message !== this.#said) log.warn('bundleFile is passed over', { error })
      this.#said = error.message
    })
    await rungs.refresh(trust.text !== this.#readUnder)
    this.#readUnder = trust.text
    await rungs.tell(rows)
  }

  // The broker first, since the hub connects to it anew; without it the hub is still renewed for everybody else.
  async #issueAnew(): Promise<void> {
    const state = this.#state()
    if (state === this.#doneFor) return
    const broker = await settled(this.#parts.natsIdentity.renewNow())
    const hub = await settled(this.#parts.identity.renewNow())
    for (const outcome of [broker, hub]) if (outcome.status === 'rejected') throw outcome.reason
    this.#doneFor = state
  }

  async #cutOff(): Promise<void> {
    if (!this.#uncut) return
    const { trust, svids, revokeUsers, clock } = this.#parts
    const keys: string[] = []
    for (const issuer of trust.validator.bundle.revokedIntermediates)
      keys.push(...(await svids.natsKeysBelow(issuer, clock.now())))
    if (keys.length > 0) await revokeUsers(keys)
    this.#uncut = false
  }

  #state(): string {
    const { trust, rungs } = this.#parts
    return `${trust.text} ${rungs.ahead()[0]?.infra.root ?? 'none'}`
  }
}

async function settled(work: Promise<void>): Promise<PromiseSettledResult<void>> {
  const [outcome] = await Promise.allSettled([work])
  return outcome
}
