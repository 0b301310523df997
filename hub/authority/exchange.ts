// The token exchange, in the order of authority-and-audit §4.1: who asks, who the target is, what policy says, that
// nobody asked for this process before; then the row, and only then the signature.
import { randomUUID } from 'node:crypto'
import { sha256Text } from '#shared/encoding/digest.ts'
import type { ErrorCode } from '#shared/errors/codes.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { Identity } from '#shared/identity/identity.ts'
import { nodeNameOf, trustDomainOf, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import type { RowRequest } from '#shared/log/row.ts'
import { detailFor, type AuthorizationDetail } from '#shared/protocol/authorization.ts'
import { DEFAULT_TOKEN_LIFE_S, signCapability, type CapabilityClaims } from '#shared/protocol/capability.ts'
import type { Command } from '#shared/protocol/command.ts'
import { openEncKey } from '#shared/protocol/enc-key.ts'
import { checkClock, retainUntil } from '#shared/protocol/envelope.ts'
import {
  CAPABILITY_TYPE,
  openIdToken,
  type ExchangeRequest,
  type ExchangeResponse,
} from '#shared/protocol/exchange.ts'
import type { HubResults } from '#shared/protocol/hub-ops.ts'
import { identityAgent } from '#shared/protocol/sandbox-capability.ts'
import type { SvidValidator, VerifiedSvid } from '#shared/x509/svid.ts'
import { actorOf, type RowWriter, type WrittenRow } from '../audit/rows.ts'
import type { Refusals } from '../audit/refusals.ts'
import type { Denials } from '../revocation/denials.ts'
import type { HubStore, NodeRecord } from '../store/store.ts'
import { grantOf } from '../tasks/task-identities.ts'
import { requireAllowed, type Judgement, type Policy } from './policy.ts'

export interface ExchangeParts {
  readonly clock: Clock
  readonly trust: SvidValidator
  readonly denials: Denials
  readonly store: Pick<HubStore, 'nodes' | 'identifiers' | 'messages' | 'tasks'>
  readonly policy: Policy
  readonly rows: RowWriter
  readonly refusals: Refusals
  /** the hub's SVID of this moment: it signs the tokens */
  readonly identity: () => Identity
  readonly anchorMaxAgeMs: number
  /** the latest time that the hub's log has recorded, UTC milliseconds */
  readonly highWater: () => number
}

/** How the request came in: for the row, and for nothing else. */
export interface ExchangeOrigin {
  readonly caller: VerifiedSvid
  readonly request: RowRequest
}

export interface Exchanged {
  readonly response: ExchangeResponse
  readonly row: WrittenRow
}

/** How far two clocks may be apart, milliseconds. */
const MAX_SKEW_MS = 30_000

interface Grant {
  readonly cmd: Command
  readonly node: NodeRecord
  readonly judgement: Judgement
  readonly txn: string
}

export class TokenExchange {
  readonly #parts: ExchangeParts

  constructor(parts: ExchangeParts) {
    this.#parts = parts
  }

  /**
   * One capability for one command. Throws ZT-401-CERT, ZT-401-SIG, ZT-408-STALE, ZT-409-REPLAY, ZT-421-MISDIRECTED for
   * the subject token, ZT-403-HOLDER, ZT-403-REVOKED, ZT-404-NODE, ZT-490-FORK, ZT-503-ANCHOR, ZT-503-NODE,
   * ZT-403-POLICY, ZT-409-IDENTIFIER, ZT-503-AUDIT, ZT-503-STORE: then no token exists.
   */
  async exchange(request: ExchangeRequest, origin: ExchangeOrigin): Promise<Exchanged> {
    const txn = randomUUID()
    const tok = sha256Text(request.subject_token)
    const [detail] = request.authorization_details
    if (detail === undefined) throw new ZtError('ZT-422-SCHEMA', 'field "authorization_details" is empty')
    try {
      await this.#requireSubject(request.subject_token, origin.caller)
      const { node } = await this.#target(request.audience)
      const judgement = this.#judge(origin.caller, node, detail.cmd)
      requireAllowed(judgement)
      return await this.#mint({ cmd: detail.cmd, node, judgement, txn }, origin, tok)
    } catch (error) {
      const actor = actorOf(origin.caller)
      const obj = { node: request.audience, cmd: detail.cmd.op }
      const req = { ...origin.request, tok }
      await this.#parts.refusals.record({ type: 'token.refused', txn, actor, req, obj }, error)
      throw error
    }
  }

  /**
   * The same decision without a token: nothing is granted, so nothing is written. Where policy allows and the node is
   * no target now, the reason is the code that exchange() would fail with. ZT-404-NODE.
   */
  async canI(cmd: Command, caller: VerifiedSvid): Promise<HubResults['can-i']> {
    const node = await this.#known(cmd.node)
    const { verdict, decision, reasons } = this.#judge(caller, node, cmd)
    if (verdict.kind !== 'allow') return { allowed: false, reasons, decision }
    const code = this.#unready(cmd.node, node)
    return code === undefined
      ? { allowed: true, reasons, decision }
      : { allowed: false, reasons: [code], decision }
  }

  // Who asks is who the subject token says, and both are alive and not denied.
  async #requireSubject(token: string, caller: VerifiedSvid): Promise<void> {
    const { clock, trust, denials, identity, store, highWater } = this.#parts
    const now = clock.now()
    checkClock({ now, highWater: highWater() })
    const { claims, svid } = openIdToken(token, { trust, now, hub: identity().id })
    denials.list.check(svid)
    if (svid.id !== caller.id) throw new ZtError('ZT-403-HOLDER', 'the subject token is of another principal')
    const seen = { iss: svid.id, nonce: claims.jti, jti: claims.jti, until: retainUntil(claims) }
    if (!(await store.messages.remember(seen)))
      throw new ZtError('ZT-409-REPLAY', 'the subject token was used before')
  }

  async #known(id: SpiffeId): Promise<NodeRecord> {
    if (trustDomainOf(id) !== trustDomainOf(this.#parts.identity().id))
      throw new ZtError('ZT-404-NODE', 'the node is of another trust domain')
    const node = await this.#parts.store.nodes.find(nodeNameOf(id))
    if (node === undefined) throw new ZtError('ZT-404-NODE', 'no such node')
    return node
  }

  // A node is a target only while the hub knows that it can be held to account: alive, trusted, freshly anchored.
  async #target(id: SpiffeId): Promise<{ node: NodeRecord; nodeKey: string }> {
    const node = await this.#known(id)
    return { node, nodeKey: this.#requireReady(id, node) }
  }

  #requireReady(id: SpiffeId, node: NodeRecord): string {
    const { clock, trust, denials, anchorMaxAgeMs } = this.#parts
    const now = clock.now()
    if (node.revokedAt !== undefined || denials.since(id) !== undefined)
      throw new ZtError('ZT-403-REVOKED', 'the node is revoked')
    if (node.distrustedAt !== undefined)
      throw new ZtError('ZT-490-FORK', 'two heads of the log of the node contradict each other')
    const age = node.anchor === undefined ? Infinity : now - node.anchor.at
    // One of a time to come was taken before the clock went back: it says nothing about now.
    if (age > anchorMaxAgeMs || age < -MAX_SKEW_MS)
      throw new ZtError('ZT-503-ANCHOR', 'the log of the node is not freshly anchored')
    if (node.encKey === undefined)
      throw new ZtError('ZT-503-NODE', 'the node has not said its encryption key')
    requireLiveKey(node.encKey, { trust, now, owner: id })
    return node.encKey
  }

  #unready(id: SpiffeId, node: NodeRecord): ErrorCode | undefined {
    try {
      this.#requireReady(id, node)
      return undefined
    } catch (error) {
      if (isZtError(error)) return error.code
      throw error
    }
  }

  // No two registrations have one log, and a token names the fence: with another one it would be void.
  async #requireUnchanged({ cmd, node }: Grant): Promise<string> {
    const { node: now, nodeKey } = await this.#target(cmd.node)
    if (now.fence === node.fence && now.log?.origin === node.log?.origin) return nodeKey
    throw new ZtError('ZT-503-NODE', 'the node was started again or replaced meanwhile')
  }

  // Whoever was revoked while the row was written gets nothing for it, and nothing is given for such a node.
  async #requireStill(grant: Grant, caller: VerifiedSvid): Promise<string> {
    const { denials, store, clock } = this.#parts
    try {
      const nodeKey = await this.#requireUnchanged(grant)
      denials.list.check(caller)
      return nodeKey
    } catch (error) {
      // The revocation may have ended the tasks of the caller before this one was granted. If we crash here, the next
      // start ends it, as long as the deny list says anything of the caller.
      if (grant.cmd.op === 'process.spawn') await store.tasks.end(grant.cmd.proc, clock.now())
      throw error
    }
  }

  #judge(caller: VerifiedSvid, node: NodeRecord, cmd: Command): Judgement {
    return this.#parts.policy.onNode(caller.id, { ...node, id: cmd.node }, cmd)
  }

  async #mint(grant: Grant, origin: ExchangeOrigin, tok: string): Promise<Exchanged> {
    const { rows, identity } = this.#parts
    const { cmd, judgement, txn } = grant
    await this.#claim(cmd, origin.caller)
    const detail = detailFor(cmd)
    const claims = this.#claims(grant, detail, origin.caller)
    const row = await rows.append({
      type: 'token.minted',
      out: 'allow',
      txn,
      actor: actorOf(origin.caller),
      req: { ...origin.request, tok },
      pol: judgement.row,
      obj: {
        jti: claims.jti,
        node: cmd.node,
        action: cmd.op,
        cmd_digest: detail.cmd_digest,
        exp: claims.exp,
      },
    })
    await this.#grantIdentity(grant, origin.caller)
    const nodeKey = await this.#requireStill(grant, origin.caller)
    const response: ExchangeResponse = {
      access_token: signCapability(identity(), claims),
      issued_token_type: CAPABILITY_TYPE,
      token_type: 'N_A',
      expires_in: claims.exp - claims.iat,
      scope: cmd.op,
      authorization_details: [detail],
      zt: { node_key: nodeKey },
    }
    return { response, row }
  }

  // Only a spawn makes the process that its identifier names; the others may be asked for again.
  async #claim(cmd: Command, caller: VerifiedSvid): Promise<void> {
    if (cmd.op !== 'process.spawn') return
    // A name of a task is one process's in the whole mesh, not on one node only.
    if (identityAgent(cmd.sandbox.caps) !== undefined && (await this.#parts.store.tasks.find(cmd.proc)))
      throw taskExists()
    const claim = { identifier: `${cmd.node} ${cmd.proc}`, by: caller.id, now: this.#parts.clock.now() }
    if (await this.#parts.store.identifiers.claim(claim)) return
    throw new ZtError('ZT-409-IDENTIFIER', 'a token for this process was given before')
  }

  // If we crash after this, the node may ask for SVIDs of a process that it was never told to start: it starts none.
  async #grantIdentity({ cmd, node }: Grant, owner: VerifiedSvid): Promise<void> {
    if (cmd.op !== 'process.spawn') return
    const grant = grantOf({ cmd, owner, node, minted: this.#parts.clock.now() })
    if (grant === undefined || (await this.#parts.store.tasks.add(grant))) return
    throw taskExists()
  }

  #claims(grant: Grant, detail: AuthorizationDetail, caller: VerifiedSvid): CapabilityClaims {
    const { node, judgement, txn } = grant
    const { policy, identity, clock } = this.#parts
    const iat = Math.floor(clock.now() / 1000)
    return {
      iss: identity().id,
      aud: grant.cmd.node,
      iat,
      exp: iat + DEFAULT_TOKEN_LIFE_S,
      jti: randomUUID(),
      txn,
      sub: caller.id,
      cnf: { 'x5t#S256': caller.thumbprint },
      authorization_details: [detail],
      use: { mode: 'single', scope: 'node' },
      node: { boot: node.boot, fence: node.fence },
      pol: {
        bundle: policy.digest,
        ver: policy.ver,
        min_ver: policy.ver,
        decision: judgement.decision,
        reasons: judgement.verdict.reasons,
      },
      lvl: node.lvl,
      chain: null,
      apr: [],
    }
  }
}

function taskExists(): ZtError {
  return new ZtError('ZT-409-IDENTIFIER', 'a task with this process id has an identity already')
}

function requireLiveKey(statement: string, context: Parameters<typeof openEncKey>[1]): void {
  try {
    openEncKey(statement, context)
  } catch (cause) {
    throw new ZtError('ZT-503-NODE', 'the encryption key of the node has ended', { cause })
  }
}
