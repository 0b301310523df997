// Revoking, felt everywhere: the row, the deny list in the store and in force, the push to every node, the registry,
// and the closing of what is connected to NATS. Each step stands without the next: if all after the first two failed,
// renewal is refused and the SVID ends within its five minutes.
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'
import { principalOf, trustDomainOf, type Principal, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import type { RowDraft, RowPolicy, RowRequest } from '#shared/log/row.ts'
import type { VerifiedSvid } from '#shared/x509/svid.ts'
import { actorOf, type RowWriter } from '../audit/rows.ts'
import type { HubStore } from '../store/store.ts'
import type { Denials, DenyChange } from './denials.ts'

export interface RevocationParts {
  readonly hubId: SpiffeId
  readonly clock: Clock
  readonly log: Logger
  readonly rows: RowWriter
  readonly denials: Denials
  readonly store: Pick<HubStore, 'nodes' | 'credentials' | 'voidJoinTokens'>
  /** no SVID lives longer, milliseconds */
  readonly svidTtlMs: number
  readonly push: () => void
  /** Ends the NATS connections and tokens of these user keys; see Broker.revoke(). */
  readonly revokeUsers: (publicKeys: readonly string[]) => Promise<void>
}

/** Who decided, for the row. */
export interface Decided {
  readonly by: VerifiedSvid
  readonly request: RowRequest
  readonly policy: RowPolicy
}

export class Revocation {
  readonly #parts: RevocationParts

  constructor(parts: RevocationParts) {
    this.#parts = parts
  }

  /** Throws ZT-404-NODE for a node that never joined, ZT-422-SPIFFE-ID for a hub or another trust domain. */
  async revoke(id: SpiffeId, reason: string, decided: Decided): Promise<DenyChange> {
    const { rows, denials, push, clock, store } = this.#parts
    const principal = await this.#revocable(id)
    const draft: RowDraft = { ...draftOf(decided), type: 'identity.revoked', obj: { id, reason } }
    const change = await denials.deny(id, reason, () => rows.append(draft))
    push()
    if (principal.kind === 'node') await store.nodes.revoke(principal.name, clock.now())
    // What the identity has prepared would outlive it. A crash in between is made good by resume().
    await store.voidJoinTokens(id)
    await this.#disconnect([id])
    return change
  }

  /**
   * Lifts a revocation. Throws ZT-403-REVOKED for who is revoked by now, and until every SVID from before the
   * revocation has ended: lifted earlier, those would count again.
   */
  async allow(id: SpiffeId, decided: Decided): Promise<DenyChange> {
    const { rows, denials, push, store } = this.#parts
    const principal = await this.#revocable(id)
    this.#requireOver(id)
    const change = await denials.lift(id, async () => {
      // Somebody may have revoked who asks, while this waited for its turn; until it is done nobody can.
      denials.list.check(decided.by)
      const row = await rows.append({ ...draftOf(decided), type: 'identity.restored', obj: { id } })
      // The registry first: a crash in between leaves the name denied, never a forgotten device allowed.
      if (principal.kind === 'node') await store.nodes.allow(principal.name)
      return row
    })
    push()
    return change
  }

  /** Closes again what should be closed: after a start, for revocations that a crash cut short. */
  async resume(): Promise<void> {
    const { denials, store } = this.#parts
    const ids = denials.entries.filter((entry) => entry.kind === 'id').map((entry) => entry.value)
    for (const id of ids) await store.voidJoinTokens(id)
    await this.#disconnect(ids)
  }

  // What keeps a connection from being closed must not keep the revocation from being in force: it is said in the log.
  async #disconnect(ids: readonly string[]): Promise<void> {
    const { store, clock, revokeUsers, log } = this.#parts
    try {
      const now = clock.now()
      const live = await Promise.all(ids.map((id) => store.credentials.live(id, now)))
      await revokeUsers(live.flat().map((credential) => credential.natsKey))
    } catch (error) {
      log.error('the nats connections of revoked identities could not be closed', { ids, error })
    }
  }

  #requireOver(id: SpiffeId): void {
    const { denials, clock, svidTtlMs } = this.#parts
    const since = denials.since(id)
    const waitMs = since === undefined ? 0 : since + svidTtlMs - clock.now()
    if (waitMs <= 0) return
    throw new ZtError('ZT-403-REVOKED', 'certificates from before the revocation have not ended yet', {
      details: { wait_s: Math.ceil(waitMs / 1000) },
    })
  }

  async #revocable(id: SpiffeId): Promise<Principal> {
    const principal = principalOf(id)
    const own = trustDomainOf(id) === trustDomainOf(this.#parts.hubId)
    if (!own || principal.kind === 'hub' || principal.kind === 'nats')
      throw new ZtError(
        'ZT-422-SPIFFE-ID',
        'hubs and brokers are revoked with their intermediate, in a ceremony',
      )
    if (principal.kind === 'node' && (await this.#parts.store.nodes.find(principal.name)) === undefined)
      throw new ZtError('ZT-404-NODE', 'no such node')
    return principal
  }
}

function draftOf({ by, request, policy }: Decided): {
  readonly out: 'allow'
  readonly actor: ReturnType<typeof actorOf>
  readonly req: RowRequest
  readonly pol: RowPolicy
} {
  return { out: 'allow', actor: actorOf(by), req: request, pol: policy }
}
