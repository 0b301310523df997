// Every way in which Cedar answers allow where a person would have said no.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { PolicyEngine } from '#shared/policy/engine.ts'
import { nodeQuestion, type PolicyPrincipal } from '#shared/policy/facts.ts'
import { parsePolicySet } from '#shared/policy/policy-set.ts'
import type { PolicyEntity, PolicyQuestion } from '#shared/policy/question.ts'

const LOOSE_SCHEMA = `
  entity Segment;
  entity User in [Segment];
  entity Box;
  action go appliesTo { principal: [User], resource: [Box], context: { "risk"?: Long } };
`
const entity = (type: string, id: string, parents: PolicyEntity['parents'] = []): PolicyEntity => ({
  uid: { type, id },
  attrs: {},
  parents,
})
const user = (parents: PolicyEntity['parents'] = []): PolicyEntity => entity('User', 'u', parents)
const ask = (change: Partial<PolicyQuestion> = {}): PolicyQuestion => ({
  principal: { type: 'User', id: 'u' },
  action: 'go',
  resource: { type: 'Box', id: 'b' },
  context: {},
  entities: [user(), entity('Box', 'b')],
  ...change,
})
const engineOf = (text: string, schema = LOOSE_SCHEMA): PolicyEngine =>
  PolicyEngine.load('active', parsePolicySet(text, schema))

const PERMIT = '@id("all") permit(principal, action, resource);'

describe('the policy engine', () => {
  it('allows what a policy permits and names the policy', () => {
    assert.deepEqual(engineOf(PERMIT).decide(ask()), { kind: 'allow', reasons: ['all'] })
  })

  it('denies what no policy permits', () => {
    const decision = engineOf('@id("none") permit(principal, action, resource) when { false };').decide(ask())
    assert.equal(decision.kind === 'deny' && decision.cause, 'no-permit')
  })

  it('denies what one policy permits and another forbids, and names the one that forbids', () => {
    const decision = engineOf(`${PERMIT} @id("no") forbid(principal, action, resource);`).decide(ask())
    assert.deepEqual(decision.kind === 'deny' && [decision.cause, decision.reasons], ['forbidden', ['no']])
  })

  it('policy that errors is denied: a forbid that overflows does not open the door', () => {
    const text = `${PERMIT} @id("guard") forbid(principal, action, resource)
      when { context has risk && context.risk * 9223372036854775807 > 5 };`
    const decision = engineOf(text).decide(ask({ context: { risk: 4 } }))
    assert.deepEqual(decision.kind === 'deny' && [decision.cause, decision.reasons], [
      'policy-error',
      ['guard'],
    ])
  })

  it('policy that errors is denied: an erring permit beside one that holds', () => {
    const text = `${PERMIT} @id("sum") permit(principal, action, resource)
      when { context has risk && context.risk + 9223372036854775807 > 5 };`
    assert.equal(engineOf(text).decide(ask({ context: { risk: 4 } })).kind, 'deny')
  })

  const invalid: Record<string, Partial<PolicyQuestion>> = {
    'a context value of the wrong type': { context: { risk: '9' } },
    'a context field that the schema does not know': { context: { other: 1 } },
    'an unknown action': { action: 'fly' },
    'a principal of a type that the action is not for': {
      principal: { type: 'Box', id: 'b' },
    },
    'an attribute that the schema does not know': {
      entities: [{ ...user(), attrs: { admin: true } }, entity('Box', 'b')],
    },
    'a fraction where the schema has a whole number': { context: { risk: 0.5 } },
  }
  for (const [what, change] of Object.entries(invalid))
    it(`denies ${what}`, () => {
      const decision = engineOf(PERMIT).decide(ask(change))
      assert.equal(decision.kind === 'deny' && decision.cause, 'invalid-request')
    })

  const bad = { type: 'Segment', id: 'bad' }
  const incomplete: Record<string, readonly PolicyEntity[]> = {
    'the principal': [entity('Box', 'b')],
    'the resource': [user()],
    'a parent of the principal': [user([bad]), entity('Box', 'b')],
    'a parent of a parent': [
      user([bad]),
      entity('Segment', 'bad', [{ type: 'Segment', id: 'x' }]),
      entity('Box', 'b'),
    ],
    'every entity': [],
  }
  for (const [what, entities] of Object.entries(incomplete))
    it(`denies when ${what} is missing from the entities`, () => {
      const text = `${PERMIT} @id("seg") forbid(principal in Segment::"bad", action, resource);`
      const decision = engineOf(text).decide(ask({ entities }))
      assert.equal(decision.kind === 'deny' && decision.cause, 'incomplete')
    })

  it('denies with an engine whose slot another policy set has taken over', () => {
    const old = engineOf(PERMIT)
    engineOf('@id("other") permit(principal, action, resource);')
    const decision = old.decide(ask())
    assert.equal(decision.kind === 'deny' && decision.cause, 'engine')
  })

  it('keeps the policies in force when a new set is refused', () => {
    const engine = engineOf(PERMIT)
    assert.throws(() => engineOf('permit(principal'), { code: 'ZT-400-CONFIG' })
    assert.equal(engine.decide(ask()).kind, 'allow')
  })
})

describe('a policy set', () => {
  const refused: Record<string, string> = {
    'a policy without an id': 'permit(principal, action, resource);',
    'two policies of one id': `${PERMIT} ${PERMIT}`,
    'an id with a space': '@id("a b") permit(principal, action, resource);',
    'text that does not parse': '@id("x") permit(principal, action, resource',
    'a template': '@id("t") permit(principal == ?principal, action, resource);',
    'an attribute that is not in the schema':
      '@id("x") permit(principal, action, resource) when { context.nope };',
    'an optional attribute read without a test for it':
      '@id("x") forbid(principal, action, resource) when { context.risk > 5 };',
    'an action that is not in the schema': '@id("x") permit(principal, action == Action::"fly", resource);',
    'a reason of two lines': '@id("x") @reason("a\\nb") permit(principal, action, resource);',
    'a reason that is too long': `@id("x") @reason("${'x'.repeat(161)}") permit(principal, action, resource);`,
    'a set over its size': `${PERMIT}//${'x'.repeat(1_048_576)}`,
  }
  for (const [what, text] of Object.entries(refused))
    it(`refuses ${what}`, () => {
      assert.throws(() => parsePolicySet(text, LOOSE_SCHEMA), { code: 'ZT-400-CONFIG' })
    })

  it('keeps what the author of a policy says of it', () => {
    const set = parsePolicySet(
      '@id("a") @reason("because") permit(principal, action, resource);',
      LOOSE_SCHEMA,
    )
    assert.deepEqual([...set.explanations], [['a', 'because']])
  })

  it('has a digest that does not depend on the order of its policies, and does on their text', () => {
    const a = '@id("a") permit(principal, action, resource);'
    const b = '@id("b") forbid(principal, action, resource) when { false };'
    const digest = (text: string): string => parsePolicySet(text, LOOSE_SCHEMA).digest
    assert.equal(digest(a + b), digest(b + a))
    assert.notEqual(digest(a), digest(a + b))
  })
})

describe('questions', () => {
  it('are made from plain facts and never leave the caller or the executor out', () => {
    const alice: PolicyPrincipal = {
      kind: 'operator',
      id: 'spiffe://td/operator/alice',
      name: 'alice',
      roles: [],
    }
    const question = nodeQuestion(
      { subject: alice, caller: alice, nowMs: 0 },
      { id: 'spiffe://td/node/n1', name: 'n1', lvl: 1, svidKey: 'soft' as const },
      { action: 'list', cmdDigest: 'd' },
    )
    assert.deepEqual(question.context['caller'], { id: alice.id, kind: 'operator' })
    assert.deepEqual(question.context['executor'], { id: 'spiffe://td/node/n1', kind: 'node' })
  })
})
