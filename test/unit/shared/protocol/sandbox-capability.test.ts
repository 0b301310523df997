import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { capabilitiesField, DEFAULT_CAPABILITIES } from '#shared/protocol/sandbox-capability.ts'

const parse = (...caps: unknown[]): readonly string[] => capabilitiesField(caps, 'caps')

describe('capabilities', () => {
  it('accepts the defaults, nothing, and every documented form', () => {
    assert.deepEqual(capabilitiesField(DEFAULT_CAPABILITIES, 'caps'), DEFAULT_CAPABILITIES)
    assert.deepEqual(parse(), [])
    const names = [
      'workspace_rw',
      'full_disk_write',
      'screen',
      'automation',
      'devices',
      'pty',
      'no_sandbox',
      'write:/srv/data',
      'write:/srv/..data/...',
      'network:example.com:443',
      'network:[2001:db8::1]:443',
      'network:10.0.0.1:*',
      'tcc:screen_capture',
      'secret:api-key.v1',
    ]
    for (const name of names) assert.deepEqual(parse(name), [name])
  })

  const refused: Record<string, readonly unknown[]> = {
    'an unknown name': ['root'],
    'an empty name': [''],
    'a known name in capitals': ['Network'],
    'a known name with something after it': ['network '],
    'a newline at the end': ['network\n'],
    'a write without a path': ['write:'],
    'a write of everything': ['write:/'],
    'a relative path': ['write:srv'],
    'a path with a parent in it': ['write:/srv/../etc'],
    'a path that ends in a parent': ['write:/srv/..'],
    'a path with a dot in it': ['write:/srv/./x'],
    'a path with an empty segment': ['write:/srv//x'],
    'a path that ends in a slash': ['write:/srv/'],
    'a path with a NUL': ['write:/srv\0'],
    'a path with a newline': ['write:/srv\n/x'],
    'a network without a port': ['network:example.com'],
    'a network with port 0': ['network:example.com:0'],
    'a network pattern': ['network:*.com:443'],
    'a secret with a path': ['secret:../key'],
    'names out of order': ['pty', 'network'],
    'a name twice': ['pty', 'pty'],
    'a number': [1],
    'too many': Array.from({ length: 65 }, (_, index) => `secret:${String(index).padStart(3, '0')}`),
  }
  for (const [what, caps] of Object.entries(refused)) {
    it(`refuses ${what}`, () => assert.throws(() => parse(...caps), { code: 'ZT-422-SCHEMA' }))
  }
})
