import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  array,
  base64urlText,
  boolean,
  bytes,
  integer,
  literal,
  nullable,
  object,
  oneOf,
  optional,
  parsed,
  record,
  string,
  union,
  type Parser,
} from '#shared/encoding/shape.ts'
import { parseNodeName } from '#shared/identity/names.ts'

const person = object({ name: string({ min: 1, max: 8 }), age: optional(integer({ min: 0, max: 150 })) })

function refusal(field: string): object {
  return { code: 'ZT-422-SCHEMA', details: { field } }
}

describe('object', () => {
  it('returns a new frozen object of the known fields', () => {
    const input = { name: 'ann', age: 3 }
    const value = person(input, '')
    assert.deepEqual(value, input)
    assert.notEqual(value, input)
    assert.ok(Object.isFrozen(value))
  })

  it('leaves an absent optional field absent', () => {
    assert.deepEqual(Object.keys(person({ name: 'ann' }, '')), ['name'])
  })

  const refused: Record<string, [unknown, string]> = {
    'an unknown key': [{ name: 'a', nick: 1 }, 'who.nick'],
    'a missing field': [{ age: 1 }, 'who.name'],
    'null in an optional field': [{ name: 'a', age: null }, 'who.age'],
    'undefined in a field': [{ name: undefined }, 'who.name'],
    'a field of another type': [{ name: 7 }, 'who.name'],
    'a list': [[], 'who'],
    null: [null, 'who'],
    text: ['{}', 'who'],
    'an instance of a class': [new Date(), 'who'],
    'a field that is only inherited': [Object.create({ name: 'ann' }), 'who'],
    'an own __proto__': [JSON.parse('{"name":"a","__proto__":1}'), 'who.__proto__'],
  }
  for (const [what, [value, field]] of Object.entries(refused)) {
    it(`refuses ${what}`, () => assert.throws(() => person(value, 'who'), refusal(field)))
  }

  it('does not take what every object inherits for a field', () => {
    const odd = object({ constructor: optional(boolean), toString: string({ max: 9 }) })
    assert.throws(() => odd({}, ''), refusal('toString'))
  })

  it('quotes a strange key in its message, and cuts it', () => {
    assert.throws(() => person({ name: 'a', [`\n${'x'.repeat(100)}`]: 1 }, ''), {
      code: 'ZT-422-SCHEMA',
      message: /^field ""\\nx{63}"" is not known$/,
    })
  })
})

describe('scalars', () => {
  const cases: Record<string, [Parser<unknown>, unknown[], unknown[]]> = {
    string: [
      string({ min: 2, max: 3, pattern: /^[a-z]+$/ }),
      ['ab', 'abc'],
      ['a', 'abcd', 'AB', 'ab\n', 1, null],
    ],
    integer: [integer({ min: -1, max: 2 }), [-1, 0, 2], [-2, 3, 0.5, '1', Number.NaN, null, true, 1n]],
    boolean: [boolean, [true, false], [0, 'true', null]],
    literal: [literal('x'), ['x'], ['X', null, undefined]],
    oneOf: [oneOf(['a', 'b']), ['a', 'b'], ['c', '', 0, 'toString']],
    nullable: [nullable(boolean), [null, true], [undefined, 0]],
    'base64url text': [base64urlText({ min: 1, max: 2 }), ['AA', 'AAA'], ['', 'AAAA', 'AB', 'A=', 1]],
  }
  for (const [what, [parse, good, bad]] of Object.entries(cases)) {
    it(`${what} accepts what fits and refuses the rest`, () => {
      for (const value of good) assert.equal(parse(value, 'f'), value)
      for (const value of bad) assert.throws(() => parse(value, 'f'), refusal('f'))
    })
  }

  it('bytes decodes canonical base64url only', () => {
    assert.deepEqual(bytes({ max: 2 })('AQI', 'f'), new Uint8Array([1, 2]))
    for (const bad of ['AQIDBA', 'AR', 'AQ==', 1])
      assert.throws(() => bytes({ max: 2 })(bad, 'f'), refusal('f'))
  })

  it('a parser of another kind is refused for its path, with its own refusal as the cause', () => {
    assert.throws(
      () => parsed(parseNodeName)('NOT', 'f'),
      (error: Error & { code: string }) =>
        error.code === 'ZT-422-SCHEMA' && (error.cause as { code: string }).code === 'ZT-422-NAME',
    )
  })

  it('a fault in a parser is not a refusal', () => {
    const broken = parsed(() => {
      throw new TypeError('fault')
    })
    assert.throws(() => broken(1, 'f'), TypeError)
  })
})

describe('containers', () => {
  it('array checks its length and names the item', () => {
    const parse = array(boolean, { min: 1, max: 2 })
    const input = [true]
    const value = parse(input, 'l')
    assert.deepEqual(value, [true])
    assert.notEqual(value, input)
    assert.ok(Object.isFrozen(value))
    assert.throws(() => parse([], 'l'), refusal('l'))
    assert.throws(() => parse([true, true, true], 'l'), refusal('l'))
    assert.throws(() => parse([true, 1], 'l'), refusal('l[1]'))
    assert.throws(() => parse({ length: 1, 0: true }, 'l'), refusal('l'))
  })

  it('record checks keys, values and size, and inherits nothing', () => {
    const parse = record(/^[A-Z]+$/, boolean, { max: 2 })
    const value = parse({ A: true }, 'r')
    assert.equal(Object.getPrototypeOf(value), null)
    assert.ok(Object.isFrozen(value))
    assert.throws(() => parse({ a: true }, 'r'), refusal('r.a'))
    assert.throws(() => parse({ A: 1 }, 'r'), refusal('r.A'))
    assert.throws(() => parse({ A: true, B: true, C: true }, 'r'), refusal('r'))
    assert.throws(() => parse([], 'r'), refusal('r'))
  })

  it('union goes by its key and refuses any other', () => {
    const parse = union('kind', {
      a: object({ kind: literal('a') }),
      b: object({ kind: literal('b'), n: integer({ min: 0 }) }),
    })
    assert.deepEqual(parse({ kind: 'b', n: 1 }, ''), { kind: 'b', n: 1 })
    for (const kind of ['c', 'toString', 1, null]) assert.throws(() => parse({ kind }, ''), refusal('kind'))
    assert.throws(() => parse({}, ''), refusal('kind'))
    assert.throws(() => parse({ kind: 'a', n: 1 }, ''), refusal('n'))
    assert.throws(() => parse(Object.create({ kind: 'a' }), ''), { code: 'ZT-422-SCHEMA' })
  })
})
