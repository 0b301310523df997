// The identities of tasks: an SVID and tokens in the name of an agent, for one process on one node. They are given to the
// node for which the spawn's token was minted, while the process runs there, and while nobody in that line is denied:
// the node, who had it spawned, and the task itself. The row comes first, and never holds a token.
import { randomUUID } from 'node:crypto'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import type { JsonObject } from '#shared/encoding/json-value.ts'
import { ZtError, isZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { TrustDomain } from '#shared/identity/names.ts'
import { nodeNameOf, parseSpiffeId, taskId, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import { thumbprint } from '#shared/jose/keys.ts'
import type { RowRequest } from '#shared/log/row.ts'
import type { SpawnCommand } from '#shared/protocol/command.ts'
import { identityAgent } from '#shared/protocol/sandbox-capability.ts'
import type {
  TaskJwtParams,
  TaskJwtResult,
  TaskSvidParams,
  TaskSvidResult,
} from '#shared/protocol/task-ops.ts'
import { MAX_JWT_SVID_LIFE_S } from '#shared/spiffe/jwt-svid.ts'
import { verifyCsr } from '#shared/x509/csr.ts'
import type { VerifiedSvid } from '#shared/x509/svid.ts'
import { issueSvid } from '#pki/issuance/issue.ts'
import type { RungIssuer } from '#pki/issuance/ladder.ts'
import type { Refusals } from '../audit/refusals.ts'
import type { RowWriter, WrittenRow } from '../audit/rows.ts'
import { RateLimiter, type RateLimits } from '../rate-limit.ts'
import type { JwtAuthority } from '../jwt/jwt-authority.ts'
import type { Denials } from '../revocation/denials.ts'
import type { NodeRecord, NodeStore, SvidLedger, TaskGrant, TaskStore } from '../store/store.ts'

/** How long a task without a limit of its own has its identity, milliseconds. */
export const DEFAULT_TASK_LIFE_MS: number = 30 * 24 * 60 * 60_000
/** From the minting of a token to the start of its process, milliseconds, generously. */
const START_MS = 60_000
// Of each task, and each is a row that is kept for ever. A node keeps what it was given, so that it asks for less; what is
// here holds a node that does not.
const RATE: RateLimits = { burst: 128, perSecond: 0.25 }
/** Characters of all audiences of a token together that its row says; of more it says the digest. */
const MAX_SAID_AUDIENCE = 256

export interface TaskIdentityParts {
  readonly trustDomain: TrustDomain
  readonly clock: Clock
  readonly rows: RowWriter
  readonly refusals: Refusals
  readonly denials: Pick<Denials, 'list'>
  readonly tasks: TaskStore
  readonly svids: Pick<SvidLedger, 'record'>
  readonly nodes: Pick<NodeStore, 'find' | 'speaks'>
  /** The workload CA of this moment. Throws ZT-503-LADDER. */
  readonly issuer: () => RungIssuer
  readonly jwt: Pick<JwtAuthority, 'sign' | 'signer'>
  readonly svidTtlMs: number
}

/** Who asks: a node, proved by its SVID. */
export interface TaskAsking {
  readonly caller: VerifiedSvid
  readonly request: RowRequest
}

export interface TaskAnswer<T> {
  readonly result: T
  readonly row?: WrittenRow
}

/** What the minting of a spawn's token knows of the task. */
export interface TaskOrder {
  readonly cmd: SpawnCommand
  readonly owner: Pick<VerifiedSvid, 'id' | 'thumbprint'>
  readonly node: { readonly boot: string; readonly fence: number }
  /** UTC, milliseconds */
  readonly minted: number
}

/** The grant that goes with the token of this spawn; undefined for one whose process gets no identity. */
export function grantOf({ cmd, owner, node, minted }: TaskOrder): TaskGrant | undefined {
  const agent = identityAgent(cmd.sandbox.caps)
  if (agent === undefined) return undefined
  const { wall_s: wall } = cmd.limits
  const life = wall === undefined ? DEFAULT_TASK_LIFE_MS : wall * 1000 + START_MS
  return {
    proc: cmd.proc,
    node: cmd.node,
    agent,
    owner: owner.id,
    ownerThumbprint: owner.thumbprint,
    boot: node.boot,
    fence: node.fence,
    minted,
    until: minted + life,
  }
}

interface Task {
  readonly grant: TaskGrant
  readonly id: SpiffeId
}

export class TaskIdentities {
  readonly #parts: TaskIdentityParts
  readonly #rates: RateLimiter

  constructor(parts: TaskIdentityParts) {
    this.#parts = parts
    this.#rates = new RateLimiter(parts.clock, RATE)
  }

  /**
   * An SVID of the task for the key of the request. Throws ZT-403-TASK unless the task was granted to this node, in this
   * start of it, and goes on; ZT-403-REVOKED; ZT-401-EVIDENCE for a machine that has lost its name; ZT-429-RATE; ZT-422-CSR,
   * ZT-503-LADDER, ZT-503-AUDIT, ZT-503-STORE: then nothing was given out.
   */
  svid({ proc, csr }: TaskSvidParams, asking: TaskAsking): Promise<TaskAnswer<TaskSvidResult>> {
    return this.#recordingRefusal('task.svid', { proc, asking }, async () => {
      const task = await this.#admit(proc, asking.caller)
      const { clock, svids, svidTtlMs } = this.#parts
      const issuer = this.#parts.issuer()
      const svid = issueSvid({
        issuer,
        csr: verifyCsr(decodeBase64url(csr, 'csr')),
        id: task.id,
        ttlMs: svidTtlMs,
        now: clock.now(),
      })
      const { serial, notBefore, notAfter } = svid
      const x5t = thumbprint(svid.chain[0] ?? new Uint8Array())
      const obj = { serial, x5t, not_before: notBefore, not_after: notAfter, ...aboutOf(task.grant) }
      const below = { issuer: issuer.certificate.keyId, root: issuer.root }
      await svids.record({ thumbprint: x5t, id: task.id, expires: notAfter, ...below })
      const row = await this.#append('svid.issued', { task, asking, obj })
      await this.#requireStill(task, asking.caller)
      return { result: { svid: svid.chain.map(encodeBase64url) }, row }
    })
  }

  /** A token of the task for these audiences, 60 s long at most. Throws as svid() does. */
  jwt({ proc, audience }: TaskJwtParams, asking: TaskAsking): Promise<TaskAnswer<TaskJwtResult>> {
    return this.#recordingRefusal('task.jwt', { proc, asking }, async () => {
      const task = await this.#admit(proc, asking.caller)
      const { clock, jwt } = this.#parts
      const iat = Math.floor(clock.now() / 1000)
      const exp = iat + MAX_JWT_SVID_LIFE_S
      const { token, kid } = jwt.sign({ sub: task.id, aud: audience, iat, exp, jti: randomUUID() })
      const obj = { kid, ...saidOf(audience), exp, ...aboutOf(task.grant) }
      const row = await this.#append('jwt.issued', { task, asking, obj })
      await this.#requireStill(task, asking.caller)
      return { result: { token, expires: exp * 1000 }, row }
    })
  }

  /** The node says that the process is gone: from now on it has no identity. As svid(); nobody's rate is asked for. */
  async ended(proc: string, asking: TaskAsking): Promise<TaskAnswer<Readonly<Record<never, never>>>> {
    const { tasks, clock, rows } = this.#parts
    const grant = await this.#granted(proc, asking.caller)
    // The machine that was replaced knows the processes of before, and not how they are now.
    await this.#requireSpeaking(asking.caller)
    if (grant.ended !== undefined) return { result: {} }
    const row = await rows.append({
      type: 'task.ended',
      out: 'info',
      actor: actorsOf(this.#idOf(grant), asking),
      req: asking.request,
      obj: aboutOf(grant),
    })
    await tasks.end(proc, clock.now())
    return { result: {}, row }
  }

  // What is not of this node and what is not at all are one answer: it says nothing about the tasks of others.
  async #granted(proc: string, caller: VerifiedSvid): Promise<TaskGrant> {
    const grant = await this.#parts.tasks.find(proc)
    if (grant === undefined || grant.node !== caller.id)
      throw refuse('there is no task of that process id with an identity on this node')
    return grant
  }

  // Only the task's own node comes to its rate, so that no other can use it up.
  async #admit(proc: string, caller: VerifiedSvid): Promise<Task> {
    const task = await this.#require(proc, caller)
    if (!this.#rates.take(proc)) throw new ZtError('ZT-429-RATE', 'the task asks for its identity too often')
    return task
  }

  async #require(proc: string, caller: VerifiedSvid): Promise<Task> {
    const grant = await this.#granted(proc, caller)
    const task = { grant, id: this.#idOf(grant) }
    // First, since what is denied has ended too, and the denial is what there is to say.
    this.#checkDenials(task, caller)
    const node = await this.#requireSpeaking(caller)
    if (node.distrustedAt !== undefined)
      throw new ZtError('ZT-490-FORK', 'two heads of the log of the node contradict each other')
    if (node.boot !== grant.boot || node.fence !== grant.fence)
      throw refuse('the task was on another start of the node')
    if (grant.ended !== undefined || this.#parts.clock.now() >= grant.until)
      throw refuse('the task has ended')
    return task
  }

  // An SVID outlives by minutes the machine's hold on its name.
  async #requireSpeaking({ id, thumbprint: print }: VerifiedSvid): Promise<NodeRecord> {
    const { nodes } = this.#parts
    const name = nodeNameOf(id)
    const node = await nodes.find(name)
    if (node !== undefined && (await nodes.speaks({ name, id, thumbprint: print }))) return node
    throw new ZtError('ZT-401-EVIDENCE', 'another machine has taken the name over')
  }

  /** Once more after the row: whoever was denied, replaced or ended meanwhile gets nothing for it. */
  async #requireStill({ grant }: Task, caller: VerifiedSvid): Promise<void> {
    await this.#require(grant.proc, caller)
  }

  #checkDenials({ grant, id }: Task, caller: VerifiedSvid): void {
    const { list } = this.#parts.denials
    list.check(caller)
    list.check({ id: parseSpiffeId(grant.owner), thumbprint: grant.ownerThumbprint })
    if (list.deniesId(id)) throw new ZtError('ZT-403-REVOKED', 'the identity of the task is revoked')
  }

  #idOf({ agent, proc }: TaskGrant): SpiffeId {
    return taskId(this.#parts.trustDomain, { agent, task: proc })
  }

  #append(
    type: 'svid.issued' | 'jwt.issued',
    about: { task: Task; asking: TaskAsking; obj: JsonObject },
  ): Promise<WrittenRow> {
    const { task, asking, obj } = about
    return this.#parts.rows.append({
      type,
      out: 'allow',
      txn: randomUUID(),
      actor: actorsOf(task.id, asking),
      req: asking.request,
      obj,
    })
  }

  async #recordingRefusal<T>(
    op: string,
    { proc, asking }: { readonly proc: string; readonly asking: TaskAsking },
    work: () => Promise<T>,
  ): Promise<T> {
    try {
      return await work()
    } catch (error) {
      const { caller, request } = asking
      // Who floods is counted: a row for each would be what the rate is there against.
      if (isZtError(error, 'ZT-429-RATE')) {
        this.#parts.refusals.count({ type: 'svid.denied', code: error.code, from: nodeNameOf(caller.id) })
        throw error
      }
      const actor = { sub: caller.id, caller: caller.id, x5t: caller.thumbprint }
      await this.#parts.refusals.record(
        { type: 'svid.denied', actor, req: request, obj: { op, proc } },
        error,
      )
      throw error
    }
  }
}

const aboutOf = ({ proc, node, owner }: TaskGrant): JsonObject => ({ proc, node, owner })

const actorsOf = (
  sub: SpiffeId,
  { caller }: TaskAsking,
): { readonly sub: string; readonly caller: string; readonly x5t: string } => ({
  sub,
  caller: caller.id,
  x5t: caller.thumbprint,
})

/** Who has the token can prove that the row is about it, whichever of the two the row says. */
function saidOf(audience: readonly string[]): JsonObject {
  const length = audience.reduce((sum, { length: one }) => sum + one, 0)
  return length <= MAX_SAID_AUDIENCE
    ? { aud: audience }
    : { aud_sha256: sha256Text(canonicalBytes(audience)), aud_count: audience.length }
}

const refuse = (message: string): ZtError => new ZtError('ZT-403-TASK', message)
