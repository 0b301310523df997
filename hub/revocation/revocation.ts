// Revoking, felt everywhere: the row, the deny list in the store and in force, the push to every node, the registry,
// and the closing of what is connected to NATS. Each step stands without the next: if all after the first two failed,
// renewal is refused and the SVID ends within its five minutes. An identity is denied with all its certificates; or one
// certificate is, and its identity goes on with the next one.
import { ZtError } from '#shared/errors/error.ts'
import type { JsonObject } from '#shared/encoding/json-value.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'
import {
  nodeOfLink,
  parseSpiffeId,
  principalOf,
  trustDomainOf,
  type Principal,
  type SpiffeId,
} from '#shared/identity/spiffe-id.ts'
import type { RowDraft, RowPolicy, RowRequest } from '#shared/log/row.ts'
import { isOpen, type DenyEntry } from '#shared/protocol/deny-list.ts'
import type { VerifiedSvid } from '#shared/x509/svid.ts'
import { actorOf, type RowWriter } from '../audit/rows.ts'
import type { HubStore, SvidRecord, TaskSelection } from '../store/store.ts'
import type { Denial, Denials, DenyChange } from './denials.ts'

export interface RevocationParts {
  readonly hubId: SpiffeId
  readonly clock: Clock
  readonly log: Logger
  readonly rows: RowWriter
  readonly denials: Denials
  readonly store: Pick<HubStore, 'nodes' | 'credentials' | 'tasks' | 'voidJoinTokens'>
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

/** Why, and since when (UTC, milliseconds) data is suspect: from the revocation on unless given. */
export interface Grounds {
  readonly reason: string
  readonly since?: number
}

// An operator's clock may be ahead of ours by as much as any message's.
const MAX_SKEW_MS = 30_000

export class Revocation {
  readonly #parts: RevocationParts

  constructor(parts: RevocationParts) {
    this.#parts = parts
  }

  /** Throws ZT-404-NODE for a node that never joined, ZT-422-SPIFFE-ID for a hub or another trust domain, ZT-422-SCHEMA. */
  async revoke(id: SpiffeId, grounds: Grounds, decided: Decided): Promise<DenyChange> {
    const { push, clock, store } = this.#parts
    const principal = await this.#revocable(id)
    const change = await this.#deny({ kind: 'id', value: id }, { id }, { grounds, decided })
    push()
    if (principal.kind === 'node') await store.nodes.revoke(principal.name, clock.now())
    // What the identity has prepared would outlive it. A crash in between is made good by resume().
    await store.voidJoinTokens(id)
    await store.tasks.endAll(tasksOf({ kind: 'id', value: id }), { now: clock.now() })
    await this.#disconnect([{ value: id }])
    return change
  }

  /** Denies one certificate; its identity may get another one, and go on. Throws ZT-422-SPIFFE-ID, ZT-422-SCHEMA. */
  async revokeCertificate(
    { id: text, thumbprint, expires }: Pick<SvidRecord, 'id' | 'thumbprint' | 'expires'>,
    grounds: Grounds,
    decided: Decided,
  ): Promise<DenyChange> {
    const id = parseSpiffeId(text)
    requireDeniable(id, this.#parts.hubId)
    const exp = Math.ceil(expires / 1000)
    const denied = { kind: 'thumbprint', value: thumbprint, id, exp } as const
    const obj = { id, x5t: thumbprint, not_after: expires }
    const change = await this.#deny(denied, obj, { grounds, decided })
    const { push, store, clock } = this.#parts
    push()
    // A token does not say with which certificate it was asked for: the identity asks for new ones.
    await store.voidJoinTokens(id)
    await store.tasks.endAll(tasksOf(denied), { now: clock.now() })
    await this.#disconnect([denied])
    return change
  }

  /**
   * Lifts a revocation, or the distrust in a node whose log contradicted itself. Throws ZT-409-NOT-REVOKED where there is
   * neither: a node would lose its machine for nothing. Throws ZT-403-REVOKED for who is revoked by now, and until every
   * SVID from before the revocation has ended: lifted earlier, those would count again.
   */
  async allow(id: SpiffeId, decided: Decided): Promise<DenyChange> {
    const { rows, denials, push, store } = this.#parts
    const principal = await this.#revocable(id)
    const change = await denials.lift({ kind: 'id', value: id }, async (denied) => {
      // While this waited for its turn somebody may have revoked who asks, or lifted the same; until it is done nobody can.
      denials.list.check(decided.by)
      if (denied === undefined) await this.#requireOut(principal)
      else this.#requireOver(denied)
      const row = await rows.append({ ...draftOf(decided), type: 'identity.restored', obj: { id } })
      // The registry first: a crash in between leaves the name denied, never a forgotten device allowed.
      if (principal.kind === 'node') await store.nodes.allow(principal.name)
      return row
    })
    push()
    return change
  }

  /**
   * Lifts the revocation of a certificate, for which that certificate need not have ended: it alone is meant. Throws
   * ZT-409-NOT-REVOKED, ZT-403-REVOKED for who is revoked by now.
   */
  async allowCertificate(id: SpiffeId, thumbprint: string, decided: Decided): Promise<DenyChange> {
    const { rows, denials, push } = this.#parts
    const obj = { id, x5t: thumbprint }
    const change = await denials.lift({ kind: 'thumbprint', value: thumbprint }, async (denied) => {
      denials.list.check(decided.by)
      if (denied === undefined) throw notRevoked('the certificate is not revoked')
      return rows.append({ ...draftOf(decided), type: 'identity.restored', obj })
    })
    push()
    return change
  }

  /** Closes again what should be closed: after a start, for revocations that a crash cut short. */
  async resume(): Promise<void> {
    const { denials, store, clock } = this.#parts
    const open = denials.entries.filter(isOpen)
    for (const { value, id = value } of open) await store.voidJoinTokens(id)
    // Of a revocation that is over too: a hub that was down while the certificate ended has ended nothing of it yet.
    for (const entry of denials.entries) {
      const before = entry.until === undefined ? {} : { before: entry.until * 1000 }
      await store.tasks.endAll(tasksOf(entry), { now: clock.now(), ...before })
    }
    await this.#disconnect(open)
  }

  /** Forgets entries that can have no effect any more. */
  async tidy(): Promise<void> {
    const { denials, rows, push } = this.#parts
    const before = denials.entries.length
    const change = await denials.tidy(() =>
      rows.append({ type: 'deny.updated', out: 'info', obj: { ver: denials.version, entries: before } }),
    )
    if (change !== undefined) push()
  }

  #deny(
    denied: Omit<Denial, 'reason' | 'since'>,
    obj: JsonObject,
    { grounds, decided }: { readonly grounds: Grounds; readonly decided: Decided },
  ): Promise<DenyChange> {
    const { rows, denials, clock } = this.#parts
    const { reason, since } = grounds
    const now = clock.now()
    if (since !== undefined && since > now + MAX_SKEW_MS)
      throw new ZtError('ZT-422-SCHEMA', 'field "since" is a time to come', { details: { field: 'since' } })
    const sinceS = Math.floor(Math.min(since ?? now, now) / 1000)
    // The row says the moment always, so that a reader of the log alone knows what is suspect.
    const row: RowDraft = {
      ...draftOf(decided),
      type: 'identity.revoked',
      obj: { ...obj, reason, since: sinceS * 1000 },
    }
    return denials.deny({ ...denied, reason, ...(since !== undefined && { since: sinceS }) }, () =>
      rows.append(row),
    )
  }

  // What keeps a connection from being closed must not keep the revocation from being in force: it is said in the log.
  async #disconnect(denied: readonly Pick<DenyEntry, 'value' | 'id'>[]): Promise<void> {
    const { store, clock, revokeUsers, log } = this.#parts
    try {
      const now = clock.now()
      const live = await Promise.all(
        denied.map(async ({ value, id }) => [
          ...(await store.credentials.live(connected(id) ?? value, now)),
          ...(await store.credentials.ofCertificate(value, now)),
        ]),
      )
      await revokeUsers(live.flat().map((credential) => credential.natsKey))
    } catch (error) {
      log.error('the nats connections of revoked identities could not be closed', { denied, error })
    }
  }

  #requireOver({ from }: DenyEntry): void {
    const { clock, svidTtlMs } = this.#parts
    const waitMs = from * 1000 + svidTtlMs - clock.now()
    if (waitMs <= 0) return
    const waitS = Math.ceil(waitMs / 1000)
    const message = `certificates from before the revocation have not ended yet: that takes another ${waitS} seconds`
    throw new ZtError('ZT-403-REVOKED', message, {
      details: { wait_s: waitS, hint: `ask again in ${waitS} seconds` },
    })
  }

  // What the registry says counts where nobody is denied: of a node whose log contradicted itself, which nobody denies.
  async #requireOut(principal: Principal): Promise<void> {
    const node = principal.kind === 'node' ? await this.#parts.store.nodes.find(principal.name) : undefined
    if (node?.revokedAt !== undefined || node?.distrustedAt !== undefined) return
    throw notRevoked('the identity is not revoked')
  }

  async #revocable(id: SpiffeId): Promise<Principal> {
    const principal = requireDeniable(id, this.#parts.hubId)
    // No message is of a link: there would be nothing to refuse.
    if (principal.kind === 'link')
      throw new ZtError('ZT-422-SPIFFE-ID', 'a link is revoked with its node, or by its fingerprint')
    if (principal.kind === 'node' && (await this.#parts.store.nodes.find(principal.name)) === undefined)
      throw new ZtError('ZT-404-NODE', 'no such node')
    return principal
  }
}

// A grant lives for weeks, and a denial may end before it: the certificate with which it was asked for does within minutes.
function tasksOf({ kind, value }: Pick<DenyEntry, 'kind' | 'value'>): TaskSelection {
  if (kind === 'thumbprint') return { ownerThumbprint: value }
  const principal = principalOf(parseSpiffeId(value))
  return { owner: value, node: value, ...(principal.kind === 'agent' && { proc: principal.task }) }
}

function requireDeniable(id: SpiffeId, hubId: SpiffeId): Principal {
  const principal = principalOf(id)
  const own = trustDomainOf(id) === trustDomainOf(hubId)
  if (own && principal.kind !== 'hub' && principal.kind !== 'nats') return principal
  throw new ZtError(
    'ZT-422-SPIFFE-ID',
    own
      ? 'hubs and brokers are revoked with their intermediate, in a ceremony'
      : `the identity is not of this trust domain, which is ${trustDomainOf(hubId)}: its own revokes it`,
  )
}

/** ZT-409-NOT-REVOKED. */
export function notRevoked(message: string): ZtError {
  return new ZtError('ZT-409-NOT-REVOKED', message)
}

/** Under whose name the connections are that a certificate of that ID makes, where it is not its own. */
function connected(id: string | undefined): SpiffeId | undefined {
  return id === undefined ? undefined : nodeOfLink(parseSpiffeId(id))
}

function draftOf({ by, request, policy }: Decided): {
  readonly out: 'allow'
  readonly actor: ReturnType<typeof actorOf>
  readonly req: RowRequest
  readonly pol: RowPolicy
} {
  return { out: 'allow', actor: actorOf(by), req: request, pol: policy }
}
