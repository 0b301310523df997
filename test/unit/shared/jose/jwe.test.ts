import assert from 'node:assert/strict'
import type { KeyObject } from 'node:crypto'
import { describe, it } from 'node:test'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { openJwe, sealJwe } from '#shared/jose/jwe.ts'
import { generateX25519 } from '#shared/jose/keys.ts'

const receiver = generateX25519()
const kid = 'key-1'
const seal = { kid, publicKey: receiver.publicKey, typ: 'zt-env+jwe', cty: 'zt-cmd+jws' }
const open = {
  typ: seal.typ,
  cty: seal.cty,
  maxBytes: 8192,
  key: (id: string): KeyObject | undefined => (id === kid ? receiver.privateKey : undefined),
}
const plaintext = Buffer.from('rm -rf /tmp/scratch')
const text = sealJwe(plaintext, seal)
const [head = '', , iv = '', ciphertext = '', tag = ''] = text.split('.')
const goodHeader = JSON.parse(Buffer.from(head, 'base64url').toString()) as Record<string, unknown>

function withHeader(header: unknown): string {
  const json = typeof header === 'string' ? header : JSON.stringify(header)
  return `${encodeBase64url(Buffer.from(json))}..${iv}.${ciphertext}.${tag}`
}

describe('jwe', () => {
  it('gives back the plaintext to the holder of the key', () => {
    assert.deepEqual(openJwe(text, open), { plaintext, kid })
  })

  it('carries an empty plaintext', () => {
    assert.equal(openJwe(sealJwe(new Uint8Array(), seal), open).plaintext.length, 0)
  })

  it('is never the same twice', () => {
    const parts = sealJwe(plaintext, seal).split('.')
    assert.notEqual(parts[0], head)
    assert.notEqual(parts[2], iv)
    assert.notEqual(parts[3], ciphertext)
  })

  it('does not contain the plaintext in any alphabet', () => {
    for (const form of ['utf8', 'hex', 'base64', 'base64url'] as const) {
      assert.equal(text.includes(plaintext.toString(form)), false)
    }
  })

  it('refuses every single changed character', () => {
    for (let at = 0; at < text.length; at++) {
      const changed = `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`
      assert.throws(() => openJwe(changed, open), { code: /^ZT-400-(?:MALFORMED|KID)$/ })
    }
  })

  it('says which key id it does not hold, and nothing else about it', () => {
    const other = sealJwe(plaintext, { ...seal, kid: 'key-2' })
    assert.throws(() => openJwe(other, open), { code: 'ZT-400-KID' })
  })

  it('gives one message for every failure to decrypt', () => {
    const low = { ...(goodHeader['epk'] as object), x: encodeBase64url(new Uint8Array(32)) }
    const failures = [
      sealJwe(plaintext, { ...seal, publicKey: generateX25519().publicKey }),
      withHeader({ ...goodHeader, epk: low }),
      `${head}..${iv}.${ciphertext}.${'A'.repeat(22)}`,
      `${head}..${'A'.repeat(16)}.${ciphertext}.${tag}`,
      `${head}..${iv}..${tag}`,
    ]
    for (const failure of failures) {
      assert.throws(() => openJwe(failure, open), {
        code: 'ZT-400-MALFORMED',
        message: 'jwe: cannot be opened',
      })
    }
  })

  const { kid: _kid, ...withoutKid } = goodHeader
  const { epk: _epk, ...withoutEpk } = goodHeader
  const headers: Record<string, unknown> = {
    'another key agreement': { ...goodHeader, alg: 'ECDH-ES+A256KW' },
    'alg dir': { ...goodHeader, alg: 'dir' },
    'alg RSA-OAEP': { ...goodHeader, alg: 'RSA-OAEP' },
    'alg PBES2 (a denial of service)': { ...goodHeader, alg: 'PBES2-HS256+A128KW', p2c: 1e9 },
    'a weaker cipher': { ...goodHeader, enc: 'A128GCM' },
    'compression (a zip bomb)': { ...goodHeader, zip: 'DEF' },
    'another type': { ...goodHeader, typ: 'JWE' },
    'another content type': { ...goodHeader, cty: 'zt-hub+jws' },
    'no key id': withoutKid,
    'a key id with a path in it': { ...goodHeader, kid: '../key' },
    'no ephemeral key': withoutEpk,
    'an ephemeral key on P-256': { ...goodHeader, epk: { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' } },
    'an ephemeral key with a private part': {
      ...goodHeader,
      epk: { ...(goodHeader['epk'] as object), d: encodeBase64url(new Uint8Array(32)) },
    },
    'an ephemeral key of 31 bytes': {
      ...goodHeader,
      epk: { kty: 'OKP', crv: 'X25519', x: encodeBase64url(new Uint8Array(31)) },
    },
    'party information': { ...goodHeader, apu: 'QWxpY2U' },
    'a critical parameter': { ...goodHeader, crit: ['exp'], exp: 1 },
    'a key by address': { ...goodHeader, jku: 'https://attacker.example' },
    'a duplicate key': JSON.stringify(goodHeader).replace('{', '{"alg":"dir",'),
    'no json': 'x',
  }
  for (const [what, header] of Object.entries(headers)) {
    it(`refuses ${what}`, () =>
      assert.throws(() => openJwe(withHeader(header), open), { code: 'ZT-400-MALFORMED' }))
  }

  const shapes: Record<string, string> = {
    nothing: '',
    'three parts': `${head}.${iv}.${tag}`,
    'six parts': `${text}.`,
    'an encrypted key': `${head}.AAAA.${iv}.${ciphertext}.${tag}`,
    'an iv of 16 bytes': `${head}..${encodeBase64url(new Uint8Array(16))}.${ciphertext}.${tag}`,
    'a tag of 4 bytes': `${head}..${iv}.${ciphertext}.AAAAAA`,
    'a newline at the end': `${text}\n`,
    'padding in the tag': `${text}==`,
  }
  for (const [what, shape] of Object.entries(shapes)) {
    it(`refuses ${what}`, () => assert.throws(() => openJwe(shape, open), { code: 'ZT-400-MALFORMED' }))
  }

  it('refuses a text over its size', () => {
    assert.throws(() => openJwe('A'.repeat(8193), open), { code: 'ZT-400-MALFORMED', message: /larger/ })
  })

  it('is never sealed to a key of small order', () => {
    assert.throws(() => sealJwe(plaintext, { ...seal, publicKey: new Uint8Array(32) }), {
      code: 'ZT-400-MALFORMED',
    })
  })
})
