// Who is refused from now on. The list in the store is the truth; the one in memory is checked on every message and
// request of the hub; the signed one is pushed to every node and handed to whoever joins or renews.
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { Identity } from '#shared/identity/identity.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import { DenyList, MAX_DENY_BYTES, signDenyList, type DenyEntry } from '#shared/protocol/deny-list.ts'
import type { WrittenRow } from '../audit/rows.ts'
import type { Denials as StoredDenials, DenyStore } from '../store/store.ts'

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

interface Change {
  readonly edit: (entries: readonly DenyEntry[]) => readonly DenyEntry[]
  /** Runs once, when it is known that the list can be changed, and before it is. */
  readonly write: () => Promise<WrittenRow>
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

  /** When the identity was put on the list, UTC milliseconds; undefined if it is not on it. */
  since(id: SpiffeId): number | undefined {
    const entry = this.entries.find((known) => known.kind === 'id' && known.value === id)
    return entry === undefined ? undefined : entry.from * 1000
  }

  /**
   * Denies the identity: its row with `write`, then in the store, then in force here; no other change comes in between.
   * An identity that is denied already stays as it is. Throws ZT-413-SIZE, before the row, when the list could not be
   * signed with one entry more; ZT-503-STORE, and what `write` throws.
   */
  deny(id: SpiffeId, reason: string, write: Change['write']): Promise<DenyChange> {
    const from = Math.floor(this.#parts.clock.now() / 1000)
    const entry: DenyEntry = { kind: 'id', value: id, from, reason }
    const edit: Change['edit'] = (entries) =>
      entries.some((known) => known.value === id) ? entries : [...entries, entry]
    return this.#inTurn({ edit, write })
  }

  /** Takes the identity off the list; `write` as with deny(). */
  lift(id: SpiffeId, write: Change['write']): Promise<DenyChange> {
    const edit: Change['edit'] = (entries) =>
      entries.some((known) => known.value === id) ? entries.filter((known) => known.value !== id) : entries
    return this.#inTurn({ edit, write })
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
      const next = entries === held.entries ? held : { ver: held.ver + 1, entries }
      // A list that cannot be signed would end every renewal. One that gets shorter is never refused.
      if (entries.length > held.entries.length) this.#requireRoom(next)
      row ??= await write()
      if (next !== held && !(await this.#parts.store.replace(held.ver, entries))) continue
      // If we crash here the list is in force from the next start on, and with every node from its next renewal.
      this.#enforce(next)
      return { ver: next.ver, row }
    }
    throw new ZtError('ZT-503-STORE', 'the deny list could not be changed: too many writers')
  }

  #requireRoom(next: StoredDenials): void {
    if (this.#sign(next).length <= MAX_SIGNED_BYTES) return
    throw new ZtError('ZT-413-SIZE', 'the deny list is full')
  }

  #enforce(stored: StoredDenials): void {
    // Another change may have been read and put in force while this one was being stored.
    if (stored.ver < this.#stored.ver) return
    this.#stored = stored
    const now = Math.floor(this.#parts.clock.now() / 1000)
    const { ver, entries } = stored
    this.list.replace({ v: 1, iss: this.#parts.identity().id, ver, iat: now, entries })
  }
}

function shortened(reason: string): string {
  return Array.from(reason).slice(0, MAX_REASON).join('')
}
