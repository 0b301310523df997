import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import canonicalize from 'canonicalize'
import fc from 'fast-check'
import { canonicalJson } from '#shared/encoding/canonical-json.ts'
import { RUNS } from '#test/support/fuzz.ts'

describe('canonicalize, by an author of RFC 8785', () => {
  it('writes every json value as it is written here, doubles and astral keys included', () => {
    const value = fc.jsonValue({ stringUnit: 'grapheme', maxDepth: 4 })
    fc.assert(
      fc.property(value, (json) => assert.equal(canonicalJson(json), canonicalize(json))),
      RUNS,
    )
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (number) =>
        assert.equal(canonicalJson(number), canonicalize(number)),
      ),
      RUNS,
    )
  })

  it('refuses with us what json cannot hold', () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, '\ud800', { a: '\udc00' }]) {
      assert.throws(() => canonicalJson(value), { code: 'ZT-422-SCHEMA' })
      assert.throws(() => canonicalize(value))
    }
  })
})
