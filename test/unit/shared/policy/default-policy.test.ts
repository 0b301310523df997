// The policy of a hub whose configuration names none: an operator may, everybody else may not.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PolicyEngine } from '#shared/policy/engine.ts'
import { hubQuestion, nodeQuestion, type NodeRequest, type PolicyPrincipal } from '#shared/policy/facts.ts'
import { parsePolicySet } from '#shared/policy/policy-set.ts'
import { DEFAULT_POLICY, POLICY_SCHEMA } from '#shared/policy/schema.ts'

const engine = PolicyEngine.load('active', parsePolicySet(DEFAULT_POLICY, POLICY_SCHEMA))
const node = { id: 'spiffe://td/node/n1', name: 'n1', lvl: 1, svidKey: 'soft' as const }
const operator: PolicyPrincipal = {
  kind: 'operator',
  id: 'spiffe://td/operator/alice',
  name: 'alice',
  roles: ['operator'],
}
const cmdDigest = 'sha-256:x'
const requests: readonly NodeRequest[] = [
  {
    action: 'spawn',
    exe: '/usr/bin/true',
    caps: ['network'],
    profile: 'default@1',
    cmdDigest,
    wallS: 5,
    cwd: '/workspace',
  },
  { action: 'watch', proc: 'p-1', cmdDigest },
  { action: 'kill', proc: 'p-1', cmdDigest },
  { action: 'list', cmdDigest },
  { action: 'audit.export', cmdDigest },
]
const refused: Record<string, PolicyPrincipal> = {
  'an operator without the role': { ...operator, roles: [] },
  'an operator with another role': { ...operator, roles: ['auditor'] },
  'an agent': { kind: 'agent', id: 'spiffe://td/agent/a/task/1', name: 'a', task: '1', roles: [] },
  'a pipeline': { kind: 'ci', id: 'spiffe://td/ci/main', name: 'main', roles: [] },
}

describe('the default policy', () => {
  for (const request of requests) {
    it(`lets an operator ${request.action}`, () => {
      const question = nodeQuestion({ subject: operator, caller: operator, nowMs: 0 }, node, request)
      assert.deepEqual(engine.decide(question), { kind: 'allow', reasons: ['default.operator'] })
    })
    for (const [who, subject] of Object.entries(refused))
      it(`does not let ${who} ${request.action}`, () => {
        const question = nodeQuestion({ subject, caller: subject, nowMs: 0 }, node, request)
        const decision = engine.decide(question)
        assert.equal(decision.kind === 'deny' && decision.cause, 'no-permit')
      })
  }

  for (const action of [
    'node.list',
    'node.join-token',
    'node.revoke',
    'revoke',
    'allow',
    'log.read',
  ] as const) {
    it(`lets an operator use ${action}`, () => {
      const asked = { subject: operator, caller: operator, nowMs: 0 }
      assert.equal(
        engine.decide(hubQuestion(asked, 'spiffe://td/hub/h1', { action, target: 'n1' })).kind,
        'allow',
      )
    })
    for (const [who, subject] of Object.entries(refused))
      it(`does not let ${who} use ${action}`, () => {
        const asked = { subject, caller: subject, nowMs: 0 }
        assert.equal(engine.decide(hubQuestion(asked, 'spiffe://td/hub/h1', { action })).kind, 'deny')
      })
  }
})
