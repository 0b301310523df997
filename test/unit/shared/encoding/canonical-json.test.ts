import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { canonicalBytes, canonicalJson } from '#shared/encoding/canonical-json.ts'

describe('canonical json', () => {
  it('writes the example of RFC 8785 §3.2.2', () => {
    const value = {
      numbers: [Number('333333333.33333329'), 1e30, 4.5, 2e-3, 0.000000000000000000000000001],
      string: "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\u0022\u002f",
      literals: [null, true, false],
    }
    assert.equal(
      canonicalJson(value),
      '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],' +
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
    )
  })

  it('sorts the keys of RFC 8785 §3.2.3 by utf-16 code units', () => {
    const value = {
      '\u20ac': 'Euro Sign',
      '\r': 'Carriage Return',
      '\ufb33': 'Hebrew Letter Dalet With Dagesh',
      '1': 'One',
      '\ud83d\ude00': 'Emoji: Grinning Face',
      '\u0080': 'Control',
      '\u00f6': 'Latin Small Letter O With Diaeresis',
    }
    assert.match(
      canonicalJson(value),
      /^\{"\\r":"Carriage Return","1":"One","\u0080":.*"ö":.*"€":.*"😀":.*"\ufb33":.*\}$/u,
    )
  })

  it('writes negative zero as zero', () => assert.equal(canonicalJson(-0), '0'))

  it('does not depend on the order of insertion or on the prototype', () => {
    const bare = Object.assign(Object.create(null) as object, { b: 1, a: 2 })
    assert.equal(canonicalJson(bare), canonicalJson({ a: 2, b: 1 }))
  })

  it('gives utf-8 bytes', () => {
    assert.deepEqual(canonicalBytes('é'), new Uint8Array([0x22, 0xc3, 0xa9, 0x22]))
  })

  const cycle: unknown[] = []
  cycle.push(cycle)
  const refused: Record<string, unknown> = {
    undefined: undefined,
    'undefined in an object': { a: undefined },
    'a hole in a list': Array.from({ length: 2, 1: 1 }),
    NaN: Number.NaN,
    Infinity: Number.POSITIVE_INFINITY,
    'a bigint': 1n,
    'a symbol': Symbol('x'),
    'a function': () => 1,
    'a date': new Date(0),
    'a map': new Map([['a', 1]]),
    'a byte array': new Uint8Array(1),
    'an instance of a class': new (class Point {
      x = 1
    })(),
    'a lone surrogate': '\ud800',
    'a lone surrogate in a key': { '\udc00': 1 },
    'a cycle': cycle,
  }
  for (const [what, value] of Object.entries(refused)) {
    it(`refuses ${what}`, () => {
      assert.throws(() => canonicalJson(value), { code: 'ZT-422-SCHEMA' })
    })
  }
})
