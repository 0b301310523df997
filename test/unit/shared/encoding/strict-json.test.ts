import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'

const limits = { maxBytes: 1024 }

describe('strict json', () => {
  const accepted: readonly string[] = [
    'null',
    'true',
    ' false ',
    '0',
    '-1',
    '9007199254740991',
    '-9007199254740991',
    '""',
    '"\\u0041\\ud83d\\ude00\\n\\/"',
    '"é😀"',
    '[]',
    '[1, [2], {}]',
    '{"a":1,"b":{"a":2}}',
    '\t{ "constructor" : null , "" : "" }\r\n',
  ]
  for (const text of accepted) {
    it(`reads ${JSON.stringify(text)} as JSON.parse does, from text and from bytes`, () => {
      assert.equal(JSON.stringify(parseStrictJson(text, limits)), JSON.stringify(JSON.parse(text)))
      assert.equal(
        JSON.stringify(parseStrictJson(Buffer.from(text), limits)),
        JSON.stringify(JSON.parse(text)),
      )
    })
  }

  it('makes objects that inherit nothing', () => {
    const value = parseStrictJson('{"a":{}}', limits)
    assert.equal(Object.getPrototypeOf(value), null)
    assert.equal('toString' in (value as object), false)
  })

  const refused: Record<string, string> = {
    'an empty text': '',
    'a key that comes twice': '{"a":1,"a":1}',
    'a key that comes twice, once escaped': '{"a":1,"\\u0061":2}',
    'the key __proto__': '{"__proto__":{}}',
    'the key __proto__, escaped': '{"\\u005f_proto__":1}',
    'an integer above 2^53 - 1': '9007199254740992',
    'an integer below -(2^53 - 1)': '-9007199254740992',
    'a number of many digits': '1'.repeat(400),
    'negative zero': '-0',
    'a fraction': '1.5',
    'a fraction that is whole': '1.0',
    'an exponent': '1e2',
    'a leading zero': '01',
    'a plus sign': '+1',
    'a lone minus': '-',
    NaN: 'NaN',
    Infinity: 'Infinity',
    'a hexadecimal number': '0x10',
    'a lone high surrogate, escaped': '"\\ud800"',
    'a lone low surrogate, escaped': '"\\udc00x"',
    'a lone surrogate in a key': '{"\\ud800":1}',
    'a lone surrogate, raw': '"\ud800"',
    'a byte order mark': '\ufeff{}',
    'text after the value': '{} {}',
    'a comment': '{}//',
    'a trailing comma in a list': '[1,]',
    'a trailing comma in an object': '{"a":1,}',
    'a missing comma': '[1 2]',
    'a missing colon': '{"a" 1}',
    'a missing value': '{"a":}',
    'a key without quotes': '{a:1}',
    'single quotes': "'a'",
    'a list that does not end': '[1',
    'an object that does not end': '{"a":1',
    'a text that does not end': '"a',
    'an escape that does not end': '"\\u00',
    'an unknown escape': '"\\x41"',
    'a raw newline in a text': '"a\nb"',
    'a raw NUL in a text': '"\0"',
    'a raw tab after an escape': '"\\n\t"',
    'a word that is cut off': 'tru',
    'a word in capitals': 'True',
    undefined: 'undefined',
    'a no-break space': '\u00a0null',
    'a vertical tab': '\u000bnull',
    'nesting deeper than 16': '['.repeat(17) + ']'.repeat(17),
  }
  for (const [what, text] of Object.entries(refused)) {
    it(`refuses ${what}`, () => {
      assert.throws(() => parseStrictJson(text, limits), { code: 'ZT-422-SCHEMA' })
    })
  }

  const refusedBytes: Record<string, readonly number[]> = {
    'bytes that are not utf-8': [0x22, 0xff, 0x22],
    'an overlong encoding': [0x22, 0xc0, 0xaf, 0x22],
    'a surrogate in utf-8': [0x22, 0xed, 0xa0, 0x80, 0x22],
    'a cut-off sequence': [0x22, 0xe2, 0x82],
    'a utf-8 byte order mark': [0xef, 0xbb, 0xbf, 0x7b, 0x7d],
    'utf-16': [0x7b, 0x00, 0x7d, 0x00],
  }
  for (const [what, bytes] of Object.entries(refusedBytes)) {
    it(`refuses ${what}`, () => {
      assert.throws(() => parseStrictJson(new Uint8Array(bytes), limits), { code: 'ZT-422-SCHEMA' })
    })
  }

  it('accepts nesting of 16 and of any other depth that is allowed', () => {
    const text = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)
    parseStrictJson(text(16), limits)
    parseStrictJson(text(2), { maxBytes: 10, maxDepth: 2 })
    assert.throws(() => parseStrictJson(text(3), { maxBytes: 10, maxDepth: 2 }), { code: 'ZT-422-SCHEMA' })
  })

  it('refuses a text over its size in bytes, not in characters', () => {
    assert.throws(() => parseStrictJson('"éééé"', { maxBytes: 9 }), { code: 'ZT-413-SIZE' })
    assert.throws(() => parseStrictJson(Buffer.from('"éééé"'), { maxBytes: 9 }), { code: 'ZT-413-SIZE' })
    parseStrictJson('"éééé"', { maxBytes: 10 })
  })

  it('does not repeat the input in its message', () => {
    assert.throws(
      () => parseStrictJson('{"password":"hunter2"!}', limits),
      (error: Error) => !error.message.includes('hunter2'),
    )
  })
})
