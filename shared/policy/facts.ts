// Builds the questions of the schema from proven facts, so that every place that asks says the same of the same thing.
import { identityAgent } from '#shared/protocol/sandbox-capability.ts'
import {
  policyTime,
  type EntityRef,
  type PolicyEntity,
  type PolicyQuestion,
  type PolicyValue,
} from './question.ts'

export interface PolicyPrincipal {
  readonly kind: 'operator' | 'agent' | 'ci'
  /** SPIFFE ID */
  readonly id: string
  /** the name in the SPIFFE ID: operator, agent or pipeline */
  readonly name: string
  readonly task?: string
  /** all roles that the principal has */
  readonly roles: readonly string[]
}

export interface PolicyParty {
  /** SPIFFE ID */
  readonly id: string
  readonly kind: string
}

export interface PolicyNode {
  /** SPIFFE ID */
  readonly id: string
  readonly name: string
  /** level of assurance of its attestation: 1 join token, 2 TPM */
  readonly lvl: number
  /** where the key of its SVID is: in the memory of the agent, or in the TPM */
  readonly svidKey: 'soft' | 'tpm'
}

interface Asked {
  /** whose authority is used */
  readonly subject: PolicyPrincipal
  /** who sent the request, as its SVID says */
  readonly caller: PolicyParty
  readonly nowMs: number
}

export type NodeRequest =
  | {
      readonly action: 'spawn'
      readonly exe: string
      readonly caps: readonly string[]
      readonly profile: string
      readonly cmdDigest: string
      readonly wallS?: number
      readonly cwd?: string
    }
  | { readonly action: 'watch' | 'kill'; readonly proc: string; readonly cmdDigest: string }
  | { readonly action: 'list' | 'audit.export'; readonly cmdDigest: string }

export type HubAction =
  | 'node.list'
  | 'node.join-token'
  | 'node.inspect'
  | 'pcr-policy.apply'
  | 'pcr-policy.show'
  | 'node.revoke'
  | 'revoke'
  | 'allow'
  | 'log.read'
  | 'federation.list'
  | 'trust.read'
  | 'bundle.import'
  | 'ladder.request'
  | 'ladder.import'
  | 'ceremony.anchor'

const TYPE_OF = { operator: 'Operator', agent: 'Agent', ci: 'Ci' } as const

const roleRef = (role: string): EntityRef => ({ type: 'Role', id: role })

function principalEntities(principal: PolicyPrincipal): PolicyEntity[] {
  const uid = { type: TYPE_OF[principal.kind], id: principal.name }
  const attrs: Record<string, PolicyValue> =
    principal.kind === 'agent' ? { id: principal.id, task: principal.task ?? '' } : { id: principal.id }
  const roles = principal.roles.map((role) => ({ uid: roleRef(role), attrs: {}, parents: [] }))
  return [{ uid, attrs, parents: principal.roles.map(roleRef) }, ...roles]
}

const party = ({ id, kind }: PolicyParty): PolicyValue => ({ id, kind })

// This version accepts no trust chain, so the question says that there is none rather than leaving it out.
const NO_CHAIN = { depth: 0, lvl: 0 }

function requestFacts(request: NodeRequest): Record<string, PolicyValue> {
  switch (request.action) {
    case 'spawn': {
      const { exe, caps, profile, cmdDigest, wallS, cwd } = request
      const identity = identityAgent(caps)
      const optional = {
        ...(wallS !== undefined && { wall_s: wallS }),
        ...(cwd !== undefined && { cwd }),
        ...(identity !== undefined && { identity }),
      }
      return { exe, caps: [...caps], profile, cmd_digest: cmdDigest, ...optional }
    }
    case 'watch':
    case 'kill':
      return { proc: request.proc, cmd_digest: request.cmdDigest }
    case 'list':
    case 'audit.export':
      return { cmd_digest: request.cmdDigest }
  }
}

/** May the subject have this done on the node? The executor is the node itself. */
export function nodeQuestion(asked: Asked, node: PolicyNode, request: NodeRequest): PolicyQuestion {
  const entities = principalEntities(asked.subject)
  const { id, name, lvl, svidKey } = node
  const resource = { type: 'Node', id: name }
  return {
    principal: { type: TYPE_OF[asked.subject.kind], id: asked.subject.name },
    action: request.action,
    resource,
    context: {
      subject: party(asked.subject),
      caller: party(asked.caller),
      executor: { id, kind: 'node' },
      chain: NO_CHAIN,
      lvl,
      now: policyTime(asked.nowMs),
      ...requestFacts(request),
    },
    entities: [...entities, { uid: resource, attrs: { id, lvl, svid_key: svidKey }, parents: [] }],
  }
}

/** May the subject have the hub do this? The executor is the hub; `target` is what it is done to. */
export function hubQuestion(
  asked: Asked,
  hubId: string,
  request: { readonly action: HubAction; readonly target?: string },
): PolicyQuestion {
  const resource = { type: 'Hub', id: hubId }
  return {
    principal: { type: TYPE_OF[asked.subject.kind], id: asked.subject.name },
    action: request.action,
    resource,
    context: {
      subject: party(asked.subject),
      caller: party(asked.caller),
      executor: { id: hubId, kind: 'hub' },
      chain: NO_CHAIN,
      now: policyTime(asked.nowMs),
      ...(request.target !== undefined && { target: request.target }),
    },
    entities: [...principalEntities(asked.subject), { uid: resource, attrs: { id: hubId }, parents: [] }],
  }
}
