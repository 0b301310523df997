// Cedar, failing closed. Left to itself Cedar skips a forbid that errors, and so allows (authority-and-audit §6): here
// the answer is allow only if the call succeeded, the decision was allow, no policy erred, the request fits the schema
// and every entity that it names was given. Whatever else happens, including a fault of the engine, is a deny.
import {
  preparsePolicySet,
  preparseSchema,
  statefulIsAuthorized,
  type AuthorizationAnswer,
  type CedarValueJson,
  type EntityJson,
} from '@cedar-policy/cedar-wasm/nodejs'
import { ZtError } from '../errors/error.ts'
import type { PolicySet } from './policy-set.ts'
import { missingEntity, type PolicyQuestion } from './question.ts'

export type DenyCause =
  | 'no-permit'
  | 'forbidden'
  | 'policy-error'
  | 'invalid-request'
  | 'incomplete'
  | 'engine'

export type PolicyDecision =
  | { readonly kind: 'allow'; readonly reasons: readonly string[] }
  | {
      readonly kind: 'deny'
      readonly cause: DenyCause
      readonly reasons: readonly string[]
      readonly detail: string
    }

/** Cedar never frees a name that it has parsed a policy set under, so there are only these. */
export type PolicySlot = 'active' | 'staged' | 'shadow'

// The parsed sets live in the wasm instance by slot, one instance a process: this remembers whose set a slot holds, so
// that an engine whose slot was taken over denies instead of answering from another's policies.
const holders = new Map<PolicySlot, PolicyEngine>()

const deny = (cause: DenyCause, detail: string, reasons: readonly string[] = []): PolicyDecision => ({
  kind: 'deny',
  cause,
  reasons,
  detail,
})

function judge(answer: AuthorizationAnswer): PolicyDecision {
  if (answer.type === 'failure')
    return deny('invalid-request', answer.errors.map((e) => e.message).join('; '))
  const { decision, diagnostics } = answer.response
  const reasons = diagnostics.reason.toSorted()
  if (diagnostics.errors.length > 0) {
    const erred = diagnostics.errors.map((e) => e.policyId).toSorted()
    return deny('policy-error', `policies that erred: ${erred.join(', ')}`, erred)
  }
  if (decision === 'allow') return { kind: 'allow', reasons }
  if (reasons.length > 0) return deny('forbidden', 'forbidden by policy', reasons)
  return deny('no-permit', 'no policy permits it')
}

export class PolicyEngine {
  readonly #slot: PolicySlot
  /** `sha-256:…` of schema and policies, as in PolicySet */
  readonly digest: string

  private constructor(slot: PolicySlot, digest: string) {
    this.#slot = slot
    this.digest = digest
  }

  /**
   * Parses `set` into `slot` and takes the slot over from whoever had it. Throws ZT-400-CONFIG if the engine refuses
   * the set; the earlier holder then stays in force.
   */
  static load(slot: PolicySlot, set: PolicySet): PolicyEngine {
    const policies = preparsePolicySet(slot, { staticPolicies: Object.fromEntries(set.policies) })
    if (policies.type === 'failure') throw refusal(policies.errors)
    const engine = new PolicyEngine(slot, set.digest)
    // From here the slot's policies are new: an earlier engine must not answer with them under its own digest.
    holders.set(slot, engine)
    const schema = preparseSchema(slot, set.schema)
    if (schema.type === 'success') return engine
    holders.delete(slot)
    throw refusal(schema.errors)
  }

  /** Never throws: what could not be decided is denied. */
  decide(question: PolicyQuestion): PolicyDecision {
    if (holders.get(this.#slot) !== this) return deny('engine', 'this policy set is no longer loaded')
    const missing = missingEntity(question)
    if (missing !== undefined) return deny('incomplete', `entity ${missing.type} is not in the question`)
    try {
      return judge(statefulIsAuthorized(this.#call(question)))
    } catch (cause) {
      return deny('engine', cause instanceof Error ? cause.message : 'the policy engine failed')
    }
  }

  #call(question: PolicyQuestion): Parameters<typeof statefulIsAuthorized>[0] {
    const { principal, resource, action } = question
    return {
      principal,
      action: { type: 'Action', id: action },
      resource,
      context: question.context as Record<string, CedarValueJson>,
      entities: question.entities as unknown as EntityJson[],
      preparsedPolicySetId: this.#slot,
      preparsedSchemaName: this.#slot,
      validateRequest: true,
    }
  }
}

function refusal(errors: readonly { message: string }[]): ZtError {
  return new ZtError('ZT-400-CONFIG', `policy: ${errors.map((e) => e.message).join('; ')}`)
}
