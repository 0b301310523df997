// The policy in force and what it says. A decision has a number of its own, names its policies and is bound to the
// digest of exactly what was asked, so that a row can be judged again later.
import { randomUUID } from 'node:crypto'
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import { principalOf, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import type { RowPolicy } from '#shared/log/row.ts'
import { PolicyEngine, type PolicyDecision } from '#shared/policy/engine.ts'
import {
  hubQuestion,
  nodeQuestion,
  type HubAction,
  type NodeRequest,
  type PolicyNode,
  type PolicyPrincipal,
} from '#shared/policy/facts.ts'
import type { PolicySet } from '#shared/policy/policy-set.ts'
import type { PolicyQuestion } from '#shared/policy/question.ts'
import { commandDigest, type Command } from '#shared/protocol/command.ts'

export interface Judgement {
  readonly verdict: PolicyDecision
  /** what the row of the decision says of it */
  readonly row: RowPolicy
  /** number of this decision */
  readonly decision: string
  /** the policies that decided, each with what its author says of it */
  readonly reasons: readonly string[]
}

export interface PolicyParts {
  readonly hubId: SpiffeId
  readonly clock: Clock
  /** the version under which the set was activated */
  readonly ver: number
  readonly set: PolicySet
  /** all roles of an operator; none for a name that the configuration does not have */
  readonly rolesOf: (operator: string) => readonly string[]
}

const WARM_UP_DECISIONS = 20

export class Policy {
  readonly #parts: PolicyParts
  readonly #engine: PolicyEngine

  /** Throws ZT-400-CONFIG if the engine refuses the set. */
  constructor(parts: PolicyParts) {
    this.#parts = parts
    this.#engine = PolicyEngine.load('active', parts.set)
    this.#warmUp()
  }

  get ver(): number {
    return this.#parts.ver
  }

  /** `sha-256:…` */
  get digest(): string {
    return this.#engine.digest
  }

  /** May the caller have the node do this? */
  onNode(caller: SpiffeId, node: PolicyNode, cmd: Command): Judgement {
    const subject = this.#principal(caller)
    const asked = { subject, caller: subject, nowMs: this.#parts.clock.now() }
    return this.#judge(nodeQuestion(asked, node, requestOf(cmd)))
  }

  /** May the caller have the hub do this? */
  onHub(caller: SpiffeId, request: { readonly action: HubAction; readonly target?: string }): Judgement {
    const subject = this.#principal(caller)
    const asked = { subject, caller: subject, nowMs: this.#parts.clock.now() }
    return this.#judge(hubQuestion(asked, this.#parts.hubId, request))
  }

  #judge(question: PolicyQuestion): Judgement {
    const verdict = this.#engine.decide(question)
    const decision = randomUUID()
    const row = {
      bundle: this.digest,
      ver: this.ver,
      decision,
      reasons: verdict.reasons,
      input: sha256Text(canonicalBytes(question)),
    }
    return { verdict, row, decision, reasons: verdict.reasons.map((id) => this.#explain(id)) }
  }

  #explain(id: string): string {
    const reason = this.#parts.set.explanations.get(id)
    return reason === undefined ? id : `${id} (${reason})`
  }

  // This version takes no actor tokens, so the subject is always the caller: whose authority is used is who asks.
  #principal(id: SpiffeId): PolicyPrincipal {
    const principal = principalOf(id)
    switch (principal.kind) {
      case 'operator':
        return { kind: 'operator', id, name: principal.name, roles: this.#parts.rolesOf(principal.name) }
      case 'agent':
        return { kind: 'agent', id, name: principal.name, task: principal.task, roles: [] }
      case 'ci':
        return { kind: 'ci', id, name: principal.name, roles: [] }
      case 'hub':
      case 'nats':
      case 'node':
      case 'link':
        throw new ZtError('ZT-403-POLICY', `a ${principal.kind} has no authority of its own`)
    }
  }

  // The engine's first calls take tens of milliseconds each: better now than in somebody's command.
  #warmUp(): void {
    const subject: PolicyPrincipal = { kind: 'operator', id: this.#parts.hubId, name: 'warm-up', roles: [] }
    const question = hubQuestion({ subject, caller: subject, nowMs: 0 }, this.#parts.hubId, {
      action: 'node.list',
    })
    for (let i = 0; i < WARM_UP_DECISIONS; i += 1) this.#engine.decide(question)
  }
}

/** Throws ZT-403-POLICY with the number of the decision and its reasons, unless it was allow. */
export function requireAllowed({ verdict, decision, reasons }: Judgement): void {
  if (verdict.kind === 'allow') return
  const named = reasons.length === 0 ? {} : { reasons: reasons.join(', ') }
  throw new ZtError('ZT-403-POLICY', verdict.detail, {
    details: { decision, cause: verdict.cause, ...named },
  })
}

function requestOf(cmd: Command): NodeRequest {
  const cmdDigest = commandDigest(cmd)
  switch (cmd.op) {
    case 'process.spawn': {
      const { exe, sandbox, limits, cwd } = cmd
      return {
        action: 'spawn',
        exe: exe.path,
        caps: sandbox.caps,
        profile: sandbox.profile,
        cmdDigest,
        ...(limits.wall_s !== undefined && { wallS: limits.wall_s }),
        ...(cwd !== undefined && { cwd }),
      }
    }
    case 'process.watch':
      return { action: 'watch', proc: cmd.proc, cmdDigest }
    case 'process.kill':
      return { action: 'kill', proc: cmd.proc, cmdDigest }
    case 'process.list':
      return { action: 'list', cmdDigest }
    case 'audit.export':
      return { action: 'audit.export', cmdDigest }
  }
}
