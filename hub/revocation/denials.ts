// Who is refused from now on. The list in the store is the truth; the one in memory is checked on every message and
// request of the hub; the signed one is pushed to every node and handed to whoever joins or renews.
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { Identity } from '#shared/identity/identity.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import { DenyList, MAX_DENY_BYTES, signDenyList, type DenyEntry } from '#shared/protocol/deny-list.ts'
import type { WrittenRow } from '../audit/rows.ts'
import type { Denials as StoredDenials, DenyStore } from '../store/store.ts'
import { largest, openEntry, tidied, withDenied, withLifted } from './entries.ts'

interface Parts {
  readonly store: DenyStore
  readonly clock: Clock
  /** the hub's SVID of this moment */
  readonly identity: () => Identity
}

interface SignedList {
  readonly thumbprint: string
  readonly ver: number
  readonly text: string
}

/** Who is to be denied, or allowed again. */
export type Target = Pick<DenyEntry, 'kind' | 'value'>

/** `since` in seconds; see DenyEntry. */
export type Denial = Omit<DenyEntry, 'from' | 'until'>

interface Change {
  readonly edit: (entries: readonly DenyEntry[]) => readonly DenyEntry[]
  /** Runs once, when it is known that the list can be changed, and before it is: `held` is what the store holds. */
  readonly write: (held: readonly DenyEntry[]) => Promise<WrittenRow>
}

export interface DenyChange {
  /** version of the deny list that holds it */
  readonly ver: number
  readonly row: WrittenRow
}

const MAX_ATTEMPTS = 10
// The chain of a later SVID of the hub may be longer than the one of today.
const MAX_SIGNED_BYTES = MAX_DENY_BYTES - 8 * 1024
/** Characters of a reason that the signed list says; the audit row says it whole. */
const MAX_REASON = 64

export class Denials {
  /** Checked by every part of the hub that takes an SVID; changed only by this class. */
  readonly list: DenyList = new DenyList()
  readonly #parts: Parts
  #stored: StoredDenials = { ver: 0, entries: [] }
  #signed: SignedList | undefined
  #last: Promise<unknown> = Promise.resolve()

  private constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Puts the stored list in force. Rejects with ZT-503-STORE: without its list a hub must not run. */
  static async open(parts: Parts): Promise<Denials> {
    const denials = new Denials(parts)
    denials.#enforce(await parts.store.read())
    return denials
  }

  get version(): number {
    return this.#stored.ver
  }

  get entries(): readonly DenyEntry[] {
    return this.#stored.entries
  }

  /** Since when the identity is denied, UTC milliseconds; undefined if it is not. */
  since(id: SpiffeId): number | undefined {
    const entry = this.find({ kind: 'id', value: id })
    return entry === undefined ? undefined : entry.from * 1000
  }

  /** What denies the target now. */
  find(target: Target): DenyEntry | undefined {
    return openEntry(this.entries, target)
  }

  /**
   * Denies an identity or a certificate: its row with `write`, then in the store, then in force here; no other change
   * comes in between. Who is denied already stays so; what can change is that more of its data is suspect. Throws
   * ZT-413-SIZE, before the row, when the list could not be signed with it; ZT-503-STORE, and what `write` throws.
   */
  deny(denial: Denial, write: () => Promise<WrittenRow>): Promise<DenyChange> {
    const entry: DenyEntry = { ...denial, from: this.#nowS() }
    return this.#inTurn({ edit: (entries) => withDenied(entries, entry), write })
  }

  /**
   * Closes what denies the target: its data from before stays suspect. `write` as with deny(); it is told what denies the
   * target when the turn has come, and refuses by what it throws: then nothing is changed.
   */
  lift(target: Target, write: (denied: DenyEntry | undefined) => Promise<WrittenRow>): Promise<DenyChange> {
    // The whole second is suspect: rounded down, the end would come before what was done in it.
    const now = Math.ceil(this.#parts.clock.now() / 1000)
    return this.#inTurn({
      edit: (entries) => withLifted(entries, target, now),
      write: (held) => write(openEntry(held, target)),
    })
  }

  /** Forgets what can have no effect any more; `write` is called only if there is something. Errors as with deny(). */
  async tidy(write: () => Promise<WrittenRow>): Promise<DenyChange | undefined> {
    const now = this.#nowS()
    if (tidied(this.entries, now) === this.entries) return undefined
    return this.#inTurn({ edit: (entries) => tidied(entries, now), write })
  }

  /** The list in force as a statement of the hub's SVID of this moment. */
  signed(): string {
    const { thumbprint } = this.#parts.identity()
    const { ver } = this.#stored
    if (this.#signed?.thumbprint !== thumbprint || this.#signed.ver !== ver)
      this.#signed = { thumbprint, ver, text: this.#sign(this.#stored) }
    return this.#signed.text
  }

  #sign({ ver, entries }: StoredDenials): string {
    const said = entries.map((entry) => ({ ...entry, reason: shortened(entry.reason) }))
    return signDenyList(this.#parts.identity(), { ver, entries: said, now: this.#parts.clock.now() })
  }

  // One change after the other: as many as are asked for at once, none loses the race for the version.
  #inTurn(change: Change): Promise<DenyChange> {
    const turn = this.#last.then(() => this.#change(change))
    this.#last = turn.catch(() => undefined)
    return turn
  }

  async #change({ edit, write }: Change): Promise<DenyChange> {
    let row: WrittenRow | undefined
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      const held = await this.#parts.store.read()
      const entries = edit(held.entries)
      const next = entries === held.entries ? held : { ver: this.#nextVersion(held), entries }
      // A list that cannot be signed would end every renewal. One that denies nobody more is never refused.
      if (entries.length > held.entries.length) this.#requireRoom(next)
      row ??= await write(held.entries)
      if (next !== held && !(await this.#parts.store.replace(held.ver, next))) continue
      // If we crash here the list is in force from the next start on, and with every node from its next renewal.
      this.#enforce(next)
      return { ver: next.ver, row }
    }
    throw new ZtError('ZT-503-STORE', 'the deny list could not be changed: too many writers')
  }

  // Not counted from one: a hub that was set back to an older copy of its store would repeat versions that nodes have
  // seen, and they would take its next revocations for old ones.
  #nextVersion({ ver }: StoredDenials): number {
    return Math.max(ver + 1, this.#nowS())
  }

  #requireRoom({ ver, entries }: StoredDenials): void {
    if (this.#sign({ ver, entries: largest(entries, this.#nowS()) }).length <= MAX_SIGNED_BYTES) return
    throw new ZtError('ZT-413-SIZE', 'the deny list is full')
  }

  #enforce(stored: StoredDenials): void {
    // Another change may have been read and put in force while this one was being stored.
    if (stored.ver < this.#stored.ver) return
    this.#stored = stored
    const { ver, entries } = stored
    this.list.replace({ v: 1, iss: this.#parts.identity().id, ver, iat: this.#nowS(), entries })
  }

  #nowS(): number {
    return Math.floor(this.#parts.clock.now() / 1000)
  }
}

function shortened(reason: string): string {
  return Array.from(reason).slice(0, MAX_REASON).join('')
}
