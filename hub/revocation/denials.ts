// Who is refused from now on. The list in the store is the truth; the one in memory is checked on every message and
// request of the hub; the signed one is pushed to every node and handed to whoever joins or renews.
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { Identity } from '#shared/identity/identity.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import { DenyList, signDenyList, type DenyEntry } from '#shared/protocol/deny-list.ts'
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

const MAX_ATTEMPTS = 10

export class Denials {
  /** Checked by every part of the hub that takes an SVID; changed only by this class. */
  readonly list: DenyList = new DenyList()
  readonly #parts: Parts
  #stored: StoredDenials = { ver: 0, entries: [] }
  #signed: SignedList | undefined

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

  /** Denies the identity: in the store, then in force here. An identity that is denied already stays as it is. */
  deny(id: SpiffeId, reason: string): Promise<number> {
    const from = Math.floor(this.#parts.clock.now() / 1000)
    return this.#change((entries) =>
      entries.some((entry) => entry.value === id)
        ? entries
        : [...entries, { kind: 'id', value: id, from, reason }],
    )
  }

  /** Takes the identity off the list. */
  lift(id: SpiffeId): Promise<number> {
    return this.#change((entries) =>
      entries.some((entry) => entry.value === id) ? entries.filter((entry) => entry.value !== id) : entries,
    )
  }

  /** The list in force as a statement of the hub's SVID of this moment. */
  signed(): string {
    const identity = this.#parts.identity()
    const { ver, entries } = this.#stored
    if (this.#signed?.thumbprint !== identity.thumbprint || this.#signed.ver !== ver) {
      const text = signDenyList(identity, { ver, entries, now: this.#parts.clock.now() })
      this.#signed = { thumbprint: identity.thumbprint, ver, text }
    }
    return this.#signed.text
  }

  async #change(edit: (entries: readonly DenyEntry[]) => readonly DenyEntry[]): Promise<number> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      const held = await this.#parts.store.read()
      const entries = edit(held.entries)
      const next = entries === held.entries ? held : { ver: held.ver + 1, entries }
      if (next !== held && !(await this.#parts.store.replace(held.ver, entries))) continue
      // If we crash here the list is in force from the next start on, and with every node from its next renewal.
      this.#enforce(next)
      return next.ver
    }
    throw new ZtError('ZT-503-STORE', 'the deny list could not be changed: too many writers')
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
