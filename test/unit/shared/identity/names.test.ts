import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseNodeName, parseOperatorName, parseProcId, parseTrustDomain } from '#shared/identity/names.ts'

const refusedNames: Record<string, unknown> = {
  'an empty name': '',
  'a dot': 'mac.mini',
  'a NATS wildcard': '*',
  'a NATS tail wildcard': '>',
  'a slash': 'a/b',
  'two dots': '..',
  'a capital': 'Mac',
  'an underscore': 'a_b',
  'a hyphen first': '-a',
  'a hyphen last': 'a-',
  'a space': 'a b',
  'a trailing newline': 'a\n',
  'a NUL': 'a\0',
  'a letter beyond ASCII': 'ä',
  'a full-width letter': 'ａ',
  '64 characters': 'a'.repeat(64),
  'a number': 7,
  null: null,
  'a list of one name': ['a'],
}

for (const [kind, parse] of Object.entries({ node: parseNodeName, operator: parseOperatorName })) {
  describe(`${kind} name`, () => {
    for (const name of ['a', '0', 'mac-mini', 'a--b', 'a'.repeat(63)]) {
      it(`accepts ${name}`, () => assert.equal(parse(name), name))
    }
    for (const [what, input] of Object.entries(refusedNames)) {
      it(`refuses ${what}`, () => assert.throws(() => parse(input), { code: 'ZT-422-NAME' }))
    }
  })
}

describe('trust domain', () => {
  for (const name of ['mesh.example', 'a_b-c.d', '127.0.0.1', 'a'.repeat(255)]) {
    it(`accepts ${name.slice(0, 20)}`, () => assert.equal(parseTrustDomain(name), name))
  }
  for (const input of ['', 'Mesh.example', 'a/b', 'a:1', 'a@b', 'a%20', 'a\n', 'a'.repeat(256), undefined]) {
    it(`refuses ${JSON.stringify(input)?.slice(0, 20)}`, () =>
      assert.throws(() => parseTrustDomain(input), { code: 'ZT-422-NAME' }))
  }
})

describe('process id', () => {
  it('accepts p- and 20 base32 characters', () => {
    assert.equal(parseProcId('p-abcdefghijklmnopq234'), 'p-abcdefghijklmnopq234')
  })
  const refused = [
    '',
    'p-',
    'p-abcdefghijklmnopq23',
    'p-abcdefghijklmnopq2345',
    'p-abcdefghijklmnopq231',
    'audit',
    4,
  ]
  for (const input of refused) {
    it(`refuses ${JSON.stringify(input)}`, () =>
      assert.throws(() => parseProcId(input), { code: 'ZT-422-NAME' }))
  }
})
