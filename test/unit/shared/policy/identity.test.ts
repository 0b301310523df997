// A policy sees in whose name a process would have SVIDs, and can give one agent's identity and no other.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PolicyEngine } from '#shared/policy/engine.ts'
import { nodeQuestion, type PolicyPrincipal } from '#shared/policy/facts.ts'
import { parsePolicySet } from '#shared/policy/policy-set.ts'
import { POLICY_SCHEMA } from '#shared/policy/schema.ts'

const POLICY = `
@id("reports") permit(principal, action == Action::"spawn", resource)
  when { context has identity && context.identity like "report*" };
@id("plain") permit(principal, action == Action::"spawn", resource) unless { context has identity };
`
const engine = PolicyEngine.load('active', parsePolicySet(POLICY, POLICY_SCHEMA))
const alice: PolicyPrincipal = {
  kind: 'operator',
  id: 'spiffe://td/operator/alice',
  name: 'alice',
  roles: [],
}
const asked = { subject: alice, caller: alice, nowMs: 0 }
const node = { id: 'spiffe://td/node/n1', name: 'n1', lvl: 1, svidKey: 'soft' as const }

function reasonsFor(...caps: readonly string[]): readonly string[] {
  const spawn = { action: 'spawn', exe: '/usr/bin/true', caps, profile: 'default@1', cmdDigest: 'x' } as const
  const decision = engine.decide(nodeQuestion(asked, node, spawn))
  return decision.kind === 'allow' ? decision.reasons : []
}

describe('the identity of a process that would be spawned', () => {
  it('can be what a policy decides by', () => {
    assert.deepEqual(reasonsFor('identity:reports', 'network'), ['reports'])
    assert.deepEqual(reasonsFor('identity:other', 'network'), [])
    assert.deepEqual(reasonsFor('network'), ['plain'])
  })
})
