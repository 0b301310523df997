import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseNodeName, parseOperatorName, parseTrustDomain } from '#shared/identity/names.ts'
import { principalTag } from '#shared/identity/principal-tag.ts'
import {
  hubId,
  natsId,
  nodeId,
  nodeNameOf,
  operatorId,
  parseSpiffeId,
  pathOf,
  principalKind,
  principalOf,
  taskId,
  trustDomainOf,
} from '#shared/identity/spiffe-id.ts'

const td = parseTrustDomain('mesh.example')

describe('spiffe id', () => {
  const accepted: readonly string[] = [
    'spiffe://mesh.example/node/mac-mini',
    'spiffe://a/b',
    'spiffe://1.2.3.4/x',
    'spiffe://a_b-c.d/A/b.c/_/-/...',
    `spiffe://a/${'x'.repeat(2048 - 'spiffe://a/'.length)}`,
  ]
  for (const text of accepted) {
    it(`accepts ${text.slice(0, 50)}`, () => assert.equal(parseSpiffeId(text), text))
  }

  const refused: Record<string, unknown> = {
    'another scheme': 'https://mesh.example/node/a',
    'a scheme in capitals': 'SPIFFE://mesh.example/node/a',
    'no scheme': 'mesh.example/node/a',
    'no trust domain': 'spiffe:///node/a',
    'no path': 'spiffe://mesh.example',
    'a root path': 'spiffe://mesh.example/',
    'a trailing slash': 'spiffe://mesh.example/node/a/',
    'an empty segment': 'spiffe://mesh.example/node//a',
    'a dot segment': 'spiffe://mesh.example/./a',
    'a dot-dot segment': 'spiffe://mesh.example/node/..',
    'percent-encoding in the path': 'spiffe://mesh.example/node/%61',
    'percent-encoding in the trust domain': 'spiffe://mesh%2eexample/node/a',
    'a trust domain in capitals': 'spiffe://Mesh.example/node/a',
    'a user': 'spiffe://u@mesh.example/node/a',
    'a port': 'spiffe://mesh.example:443/node/a',
    'a query': 'spiffe://mesh.example/node/a?x',
    'a fragment': 'spiffe://mesh.example/node/a#x',
    'a backslash': 'spiffe://mesh.example/node\\a',
    'a space before': ' spiffe://mesh.example/node/a',
    'a newline at the end': 'spiffe://mesh.example/node/a\n',
    'a letter beyond ASCII': 'spiffe://mesh.example/node/ä',
    '2049 bytes': `spiffe://a/${'x'.repeat(2049 - 'spiffe://a/'.length)}`,
    'a trust domain of 256 characters': `spiffe://${'a'.repeat(256)}/x`,
    'a number': 1,
    'an object with toString': { toString: () => 'spiffe://a/b' },
  }
  for (const [what, input] of Object.entries(refused)) {
    it(`refuses ${what}`, () => assert.throws(() => parseSpiffeId(input), { code: 'ZT-422-SPIFFE-ID' }))
  }

  it('has a trust domain and a path', () => {
    const id = parseSpiffeId('spiffe://mesh.example/node/a')
    assert.equal(trustDomainOf(id), 'mesh.example')
    assert.equal(pathOf(id), '/node/a')
  })
})

describe('principal', () => {
  it('is read back from every id that is built', () => {
    assert.deepEqual(principalOf(nodeId(td, parseNodeName('a'))), { kind: 'node', name: 'a' })
    assert.deepEqual(principalOf(hubId(td, 'h1')), { kind: 'hub', name: 'h1' })
    assert.deepEqual(principalOf(natsId(td, 'n1')), { kind: 'nats', name: 'n1' })
    assert.deepEqual(principalOf(operatorId(td, parseOperatorName('ann'))), { kind: 'operator', name: 'ann' })
    const task = taskId(td, { agent: 'analyst', task: '42' })
    assert.equal(task, 'spiffe://mesh.example/agent/analyst/task/42')
    assert.deepEqual(principalOf(task), { kind: 'agent', name: 'analyst', task: '42' })
    assert.equal(principalKind(parseSpiffeId('spiffe://mesh.example/ci/build')), 'ci')
  })

  const refused: readonly string[] = [
    'spiffe://mesh.example/root/a',
    'spiffe://mesh.example/node',
    'spiffe://mesh.example/node/a/b',
    'spiffe://mesh.example/node/A',
    'spiffe://mesh.example/node/a.b',
    'spiffe://mesh.example/agent/a',
    'spiffe://mesh.example/agent/a/task',
    'spiffe://mesh.example/agent/a/job/1',
    'spiffe://mesh.example/agent/a/task/1/2',
    'spiffe://mesh.example/Hub/h1',
    'spiffe://mesh.example/toString/x',
  ]
  for (const text of refused) {
    it(`refuses ${text}`, () =>
      assert.throws(() => principalOf(parseSpiffeId(text)), { code: 'ZT-422-SPIFFE-ID' }))
  }

  it('names a node only for the id of a node', () => {
    assert.equal(nodeNameOf(nodeId(td, parseNodeName('a'))), 'a')
    assert.throws(() => nodeNameOf(hubId(td, 'a')), { code: 'ZT-422-SPIFFE-ID' })
  })

  it('is never built from a name that is not one', () => {
    assert.throws(() => hubId(td, 'h/1'), { code: 'ZT-422-SPIFFE-ID' })
    assert.throws(() => taskId(td, { agent: 'a', task: '../x' }), { code: 'ZT-422-SPIFFE-ID' })
  })
})

describe('principal tag', () => {
  it('is 20 base32 characters of the digest of the id, and another for another id', () => {
    const tag = principalTag(operatorId(td, parseOperatorName('ann')))
    // printf %s spiffe://mesh.example/operator/ann | openssl dgst -sha256 -binary | base32 | tr A-Z a-z | head -c 20
    assert.equal(tag, '6hjiezoa4pjkilpmhjiv')
    assert.notEqual(principalTag(operatorId(td, parseOperatorName('anna'))), tag)
  })
})
