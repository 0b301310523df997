import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { encodeBase32 } from '#shared/encoding/base32.ts'
import { decodeBase64, decodeBase64url, encodeBase64, encodeBase64url } from '#shared/encoding/base64url.ts'

describe('base64url', () => {
  it('round-trips the vectors of RFC 4648 §10 without padding', () => {
    const vectors: Record<string, string> = { '': '', f: 'Zg', fo: 'Zm8', foo: 'Zm9v', fooba: 'Zm9vYmE' }
    for (const [plain, text] of Object.entries(vectors)) {
      assert.equal(encodeBase64url(Buffer.from(plain)), text)
      assert.equal(Buffer.from(decodeBase64url(text, 'x')).toString(), plain)
    }
  })

  it('encodes the part of a buffer that the view shows', () => {
    assert.equal(encodeBase64url(new Uint8Array([1, 2, 3, 4]).subarray(1, 3)), 'AgM')
  })

  const refused: Record<string, string> = {
    padding: 'Zg==',
    'the standard alphabet': '+/+/',
    'stray bits in the last character': 'Zh',
    'a length that no bytes have': 'Zm9vY',
    'a space': 'Zm 9v',
    'a newline at the end': 'Zm9v\n',
    'a character beyond ASCII': 'Zm9ü',
    'a NUL': 'Zm\0v',
  }
  for (const [what, text] of Object.entries(refused)) {
    it(`refuses ${what}`, () => {
      assert.throws(() => decodeBase64url(text, 'field'), { code: 'ZT-400-MALFORMED', message: /"field"/ })
    })
  }
})

describe('base64', () => {
  it('round-trips with padding', () => {
    assert.equal(encodeBase64(Buffer.from('f')), 'Zg==')
    assert.deepEqual(decodeBase64('Zg==', 'x'), new Uint8Array([0x66]))
  })

  const refused: Record<string, string> = {
    'missing padding': 'Zg',
    'too much padding': 'Zm9v=',
    'the url alphabet': '-_-_',
    'stray bits': 'Zh==',
    'padding in the middle': 'Zg==Zg==',
    'a line break': 'Zm9v\nZm9v',
  }
  for (const [what, text] of Object.entries(refused)) {
    it(`refuses ${what}`, () => {
      assert.throws(() => decodeBase64(text, 'x5c'), { code: 'ZT-400-MALFORMED' })
    })
  }
})

describe('base32', () => {
  it('encodes the vectors of RFC 4648 §10 in lower case without padding', () => {
    const vectors: Record<string, string> = {
      '': '',
      f: 'my',
      fo: 'mzxq',
      foo: 'mzxw6',
      foob: 'mzxw6yq',
      fooba: 'mzxw6ytb',
      foobar: 'mzxw6ytboi',
    }
    for (const [plain, text] of Object.entries(vectors)) assert.equal(encodeBase32(Buffer.from(plain)), text)
  })
})
