import assert from 'node:assert/strict'
import { it } from 'node:test'
import { ENFORCED_CAPABILITIES, parseCapabilities } from '#node-agent/sandbox/capabilities.ts'
import { CAPABILITIES, DEFAULT_CAPABILITIES } from '#shared/protocol/sandbox-capability.ts'

it('enforces every capability of the default bundle', () => {
  assert.deepEqual([...parseCapabilities(DEFAULT_CAPABILITIES)], DEFAULT_CAPABILITIES)
})

it('enforces exactly those that are listed as given', () => {
  const given = CAPABILITIES.filter(({ reserved }) => reserved !== true).map(({ name }) => name)
  assert.deepEqual(given, [...ENFORCED_CAPABILITIES, 'identity:AGENT'])
})

it('takes an empty bundle, which grants nothing', () => {
  assert.equal(parseCapabilities([]).size, 0)
})

for (const name of [
  'secret:db',
  'pty',
  'no_sandbox',
  'network:example.org:443',
  'write:/etc',
  'full_disk_write',
  'screen',
  'automation',
  'tcc:camera',
  'devices',
  'identity',
  'identity:',
  'NETWORK',
  'network ',
  '__proto__',
  '',
]) {
  it(`refuses "${name}", which this node cannot enforce, instead of ignoring it`, () => {
    assert.throws(() => parseCapabilities(['network', name]), {
      code: 'ZT-412-FACT',
      details: { fact: 'capability', capability: name },
    })
  })
}

it('takes one identity, whatever its agent', () => {
  assert.deepEqual([...parseCapabilities(['identity:reports', 'network'])], ['identity', 'network'])
  assert.throws(() => parseCapabilities(['identity:a', 'identity:b']), { code: 'ZT-412-FACT' })
})

it('refuses to show all of the host to a process that can connect to what it is shown', () => {
  assert.throws(() => parseCapabilities(['identity:reports', 'read_anywhere']), {
    code: 'ZT-412-FACT',
    details: { fact: 'capability', capability: 'read_anywhere' },
  })
})

it('refuses a capability that is named twice', () => {
  assert.throws(() => parseCapabilities(['network', 'network']), { code: 'ZT-412-FACT' })
})
