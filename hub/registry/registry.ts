// What operators do with the list of nodes: see it, invite machines, take them out and let them in again. Policy is
// asked for each, and each change is a row before it is a change.
import type { Clock } from '#shared/host/clock.ts'
import type { NodeName, TrustDomain } from '#shared/identity/names.ts'
import { nodeId, parseSpiffeId, principalOf, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import type { RowRequest } from '#shared/log/row.ts'
import type { HubAction } from '#shared/policy/facts.ts'
import { encodeJoinString } from '#shared/protocol/admission.ts'
import type {
  DenyTarget,
  Grounds as AskedGrounds,
  HubParams,
  HubResults,
  NodeEntry,
} from '#shared/protocol/hub-ops.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { VerifiedSvid } from '#shared/x509/svid.ts'
import { issueJoinToken, JOIN_TOKEN_LIFE_MS } from '../admission/join-token.ts'
import { actorOf, type RowWriter, type WrittenRow } from '../audit/rows.ts'
import { requireAllowed, type Policy } from '../authority/policy.ts'
import type { Denials } from '../revocation/denials.ts'
import { notRevoked, type Decided, type Grounds, type Revocation } from '../revocation/revocation.ts'
import type { HubStore, NodeRecord, SvidRecord } from '../store/store.ts'

export interface RegistryParts {
  readonly hubId: SpiffeId
  readonly trustDomain: TrustDomain
  /** where machines reach the hub */
  readonly url: string
  /** the root that they pin: that which signed the bundle in force */
  readonly root: () => string
  readonly clock: Clock
  readonly store: Pick<HubStore, 'nodes' | 'joinTokens' | 'svids'>
  readonly policy: Policy
  readonly rows: RowWriter
  readonly revocation: Revocation
  readonly denials: Pick<Denials, 'list' | 'find'>
}

/** Who asks, and with which message. */
export interface Asking {
  readonly caller: VerifiedSvid
  readonly request: RowRequest
}

export interface Done<T> {
  readonly result: T
  readonly row?: WrittenRow
}

export class Registry {
  readonly #parts: RegistryParts

  constructor(parts: RegistryParts) {
    this.#parts = parts
  }

  /** ZT-403-POLICY. */
  async list(asking: Asking): Promise<Done<HubResults['node.list']>> {
    this.#require(asking, 'node.list')
    const { store, clock } = this.#parts
    const nodes = await store.nodes.list()
    const known = new Set(nodes.map((node) => node.name))
    const invited = (await store.joinTokens.outstanding(clock.now())).filter((name) => !known.has(name))
    const entries = [...nodes.map((node) => this.#entry(node)), ...invited.map((name) => this.#invited(name))]
    return { result: { nodes: entries.toSorted((a, b) => (a.name < b.name ? -1 : 1)) } }
  }

  /**
   * A join string for one machine. ZT-403-POLICY; ZT-403-REVOKED for who is revoked by now; ZT-403-JOIN for a name that
   * is taken, unless it is to be replaced.
   */
  async joinToken(
    wish: HubParams['node.join-token'],
    asking: Asking,
  ): Promise<Done<HubResults['node.join-token']>> {
    const { store, rows, denials, clock, hubId, trustDomain, url, root } = this.#parts
    const { node, replace = false, require_tpm: requiresTpm = false } = wish
    const decided = this.#require(asking, 'node.join-token', node)
    await this.#requireFree(node, replace)
    const now = clock.now()
    const row = await rows.append({
      type: 'join.token_issued',
      out: 'allow',
      actor: actorOf(asking.caller),
      req: asking.request,
      pol: decided.policy,
      obj: { node, replace, ...(requiresTpm && { require_tpm: true }), expires: now + JOIN_TOKEN_LIFE_MS },
    })
    // Who is revoked from here on has the token made void again: it is in the store before that can be asked for.
    denials.list.check(asking.caller)
    const { token, expires } = await issueJoinToken(store, {
      node,
      replace,
      requiresTpm,
      createdBy: asking.caller.id,
      now,
    })
    const join = encodeJoinString({ v: 1, hub: url, hubId, td: trustDomain, root: root(), node, token })
    return { result: { join, expires }, row }
  }

  /** ZT-403-POLICY, ZT-404-NODE, ZT-413-SIZE. */
  async revokeNode(
    wish: { readonly node: NodeName } & AskedGrounds,
    asking: Asking,
  ): Promise<Done<HubResults['node.revoke']>> {
    const decided = this.#require(asking, 'node.revoke', wish.node)
    const id = nodeId(this.#parts.trustDomain, wish.node)
    const { ver, row } = await this.#parts.revocation.revoke(id, groundsOf(wish), decided)
    return { result: { ver }, row }
  }

  /**
   * Of a node or one of its certificates, it asks policy what node.revoke asks. ZT-403-POLICY, ZT-404-NODE, ZT-404-CERT,
   * ZT-413-SIZE, ZT-422-SPIFFE-ID.
   */
  async revoke(wish: DenyTarget & AskedGrounds, asking: Asking): Promise<Done<HubResults['revoke']>> {
    const { revocation, store, clock } = this.#parts
    const grounds = groundsOf(wish)
    if ('id' in wish) {
      const decided = this.#requireRevoke(asking, wish.id)
      const { ver, row } = await revocation.revoke(wish.id, grounds, decided)
      const live = await store.svids.live(wish.id, clock.now())
      return { result: { ver, id: wish.id, live }, row }
    }
    const certificate = await this.#certificate(wish.thumbprint)
    const id = parseSpiffeId(certificate.id)
    const decided = this.#requireRevoke(asking, id)
    const { ver, row } = await revocation.revokeCertificate(certificate, grounds, decided)
    return { result: { ver, id, live: 1 }, row }
  }

  /** ZT-403-POLICY, ZT-403-REVOKED (too early), ZT-404-NODE, ZT-404-CERT, ZT-409-NOT-REVOKED, ZT-422-SPIFFE-ID. */
  async allow(wish: DenyTarget, asking: Asking): Promise<Done<HubResults['allow']>> {
    const { revocation, denials } = this.#parts
    if ('id' in wish) {
      const { ver, row } = await revocation.allow(wish.id, this.#require(asking, 'allow', wish.id))
      return { result: { ver, id: wish.id }, row }
    }
    const denied = denials.find({ kind: 'thumbprint', value: wish.thumbprint })
    if (denied?.id === undefined) {
      await this.#certificate(wish.thumbprint)
      throw notRevoked('the certificate is not revoked')
    }
    const id = parseSpiffeId(denied.id)
    const decided = this.#require(asking, 'allow', id)
    const { ver, row } = await revocation.allowCertificate(id, wish.thumbprint, decided)
    return { result: { ver, id }, row }
  }

  #requireRevoke(asking: Asking, id: SpiffeId): Decided {
    const principal = principalOf(id)
    return principal.kind === 'node' || principal.kind === 'link'
      ? this.#require(asking, 'node.revoke', principal.name)
      : this.#require(asking, 'revoke', id)
  }

  // One that this hub did not issue, or that has ended: denying it would be a revocation that does nothing. Asked of the
  // ledger: tasks have no credentials, and those of others say only which certificate came last with their NATS key.
  async #certificate(thumbprint: string): Promise<SvidRecord> {
    const { store, clock } = this.#parts
    const certificate = await store.svids.find(thumbprint, clock.now())
    if (certificate === undefined) throw unknownCertificate()
    return certificate
  }

  #require({ caller, request }: Asking, action: HubAction, target?: string): Decided {
    const judgement = this.#parts.policy.onHub(caller.id, {
      action,
      ...(target !== undefined && { target }),
    })
    requireAllowed(judgement)
    return { by: caller, request, policy: judgement.row }
  }

  async #requireFree(name: NodeName, replace: boolean): Promise<void> {
    const node = await this.#parts.store.nodes.find(name)
    if (node?.revokedAt !== undefined)
      throw new ZtError('ZT-403-REVOKED', 'the node is revoked; it must be allowed before it can join again')
    if (node?.device !== undefined && !replace)
      throw new ZtError('ZT-403-JOIN', 'the name belongs to another machine', {
        details: { hint: `for a machine that is to take it over: ztctl node join-token ${name} --replace` },
      })
  }

  #entry(node: NodeRecord): NodeEntry {
    const state = stateOf(node)
    return {
      name: node.name as NodeName,
      id: nodeId(this.#parts.trustDomain, node.name as NodeName),
      state,
      // What the last machine had proved is kept, for the next one; a name without a machine proves nothing.
      lvl: state === 'invited' ? 0 : node.lvl,
      svidKey: state === 'invited' ? null : node.svidKey,
      joined: node.joinedAt,
      seen: node.lastSeen,
      anchored: node.anchor?.at ?? null,
    }
  }

  #invited(name: string): NodeEntry {
    const id = nodeId(this.#parts.trustDomain, name as NodeName)
    const never = { joined: null, seen: null, anchored: null }
    return { name: name as NodeName, id, state: 'invited', lvl: 0, svidKey: null, ...never }
  }
}

export function stateOf(node: NodeRecord): NodeEntry['state'] {
  if (node.revokedAt !== undefined) return 'revoked'
  if (node.distrustedAt !== undefined) return 'distrusted'
  if (node.device === undefined) return 'invited'
  return node.tpm?.drifted === undefined ? 'joined' : 'drifted'
}

function groundsOf({ reason, since }: AskedGrounds): Grounds {
  return since === undefined ? { reason } : { reason, since: since * 1000 }
}

function unknownCertificate(): ZtError {
  return new ZtError('ZT-404-CERT', 'no certificate that is alive has this fingerprint')
}
