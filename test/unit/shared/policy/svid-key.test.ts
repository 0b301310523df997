// A policy sees where the key of a node's SVID is, and can keep commands from nodes whose keys are in memory.
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { PolicyEngine } from '#shared/policy/engine.ts'
import { nodeQuestion, type PolicyPrincipal } from '#shared/policy/facts.ts'
import { parsePolicySet } from '#shared/policy/policy-set.ts'
import { POLICY_SCHEMA } from '#shared/policy/schema.ts'

const POLICY = `
@id("tpm-signed") permit(principal, action == Action::"list", resource)
  when { resource.lvl >= 2 && resource.svid_key == "tpm" };
`
const engine = PolicyEngine.load('active', parsePolicySet(POLICY, POLICY_SCHEMA))
const alice: PolicyPrincipal = {
  kind: 'operator',
  id: 'spiffe://td/operator/alice',
  name: 'alice',
  roles: [],
}

it('where the key of the SVID is can be what a policy decides by', () => {
  const asked = { subject: alice, caller: alice, nowMs: 0 }
  const decided = (svidKey: 'soft' | 'tpm', lvl: number): string => {
    const node = { id: 'spiffe://td/node/n1', name: 'n1', lvl, svidKey }
    return engine.decide(nodeQuestion(asked, node, { action: 'list', cmdDigest: 'x' })).kind
  }
  assert.equal(decided('tpm', 2), 'allow')
  assert.notEqual(decided('soft', 2), 'allow')
  assert.notEqual(decided('tpm', 1), 'allow')
})
