// Turns policy text into named policies that were parsed and validated against the schema. Policies without a name are
// refused: Cedar would number them by position, and a recorded reason must mean the same policy tomorrow.
import { createHash } from 'node:crypto'
import { policySetTextToParts, policyToJson, validate } from '@cedar-policy/cedar-wasm/nodejs'
import { ZtError } from '../errors/error.ts'

export const MAX_POLICY_BYTES = 1_048_576

const EXPLANATION = /^[\x20-\x7e]{1,160}$/
const POLICY_ID = /^[a-z0-9][a-z0-9._-]{0,63}$/

export interface PolicySet {
  readonly schema: string
  /** policy id → text */
  readonly policies: ReadonlyMap<string, string>
  /** policy id → what its `@reason` says, for those that have one */
  readonly explanations: ReadonlyMap<string, string>
  /** `sha-256:` and base64url of SHA-256 over schema and policies, in the order of their ids */
  readonly digest: string
  /** what the validator found odd, though not wrong */
  readonly warnings: readonly string[]
}

function refuse(message: string): ZtError {
  return new ZtError('ZT-400-CONFIG', `policy: ${message}`)
}

interface Annotated {
  readonly id: string
  readonly text: string
  readonly reason: string | undefined
}

function annotated(text: string): Annotated {
  const parsed = policyToJson(text)
  if (parsed.type === 'failure') throw refuse(parsed.errors.map((e) => e.message).join('; '))
  const id = parsed.json.annotations?.['id']
  if (id === undefined || !POLICY_ID.test(id))
    throw refuse('every policy needs an annotation @id("…") of a-z, 0-9, dot, hyphen and underscore')
  const reason = parsed.json.annotations?.['reason'] ?? undefined
  // It is shown to whoever is denied, on a line with others.
  if (reason !== undefined && !EXPLANATION.test(reason))
    throw refuse(`the annotation @reason of ${id} is not one line of at most 160 printable characters`)
  return { id, text, reason }
}

function splitPolicies(text: string): Annotated[] {
  const parts = policySetTextToParts(text)
  if (parts.type === 'failure') throw refuse(parts.errors.map((e) => e.message).join('; '))
  if (parts.policy_templates.length > 0) throw refuse('templates are not supported')
  const policies = parts.policies.map(annotated).toSorted((a, b) => (a.id < b.id ? -1 : 1))
  const twice = policies.find(({ id }, index) => policies[index + 1]?.id === id)
  if (twice !== undefined) throw refuse(`two policies have the id ${twice.id}`)
  return policies
}

function digestOf(schema: string, policies: ReadonlyMap<string, string>): string {
  const hash = createHash('sha256').update(JSON.stringify([schema, [...policies]]))
  return `sha-256:${hash.digest('base64url')}`
}

/**
 * Parses `text` as a Cedar policy set, each policy with its `@id`, and validates it strictly against `schema`.
 * Throws ZT-400-CONFIG for anything that does not parse, is not named, or could fail at a decision.
 */
export function parsePolicySet(text: string, schema: string): PolicySet {
  if (Buffer.byteLength(text) > MAX_POLICY_BYTES) throw refuse(`longer than ${MAX_POLICY_BYTES} bytes`)
  const parts = splitPolicies(text)
  const policies = new Map(parts.map((part) => [part.id, part.text]))
  const explanations = new Map(
    parts.flatMap(({ id, reason }) => (reason === undefined ? [] : [[id, reason] as const])),
  )
  const answer = validate({
    schema,
    policies: { staticPolicies: Object.fromEntries(policies) },
    validationSettings: { mode: 'strict' },
  })
  if (answer.type === 'failure') throw refuse(answer.errors.map((e) => e.message).join('; '))
  if (answer.validationErrors.length > 0)
    throw refuse(answer.validationErrors.map((e) => `${e.policyId}: ${e.error.message}`).join('; '))
  const warnings = answer.validationWarnings.map((w) => `${w.policyId}: ${w.error.message}`)
  return { schema, policies, explanations, digest: digestOf(schema, policies), warnings }
}
