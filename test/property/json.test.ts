import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { encodeBase32 } from '#shared/encoding/base32.ts'
import { decodeBase64, decodeBase64url, encodeBase64, encodeBase64url } from '#shared/encoding/base64url.ts'
import { canonicalJson } from '#shared/encoding/canonical-json.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { edit, refusalOr, RUNS, strictJson } from '#test/support/fuzz.ts'

const limits = { maxBytes: 1 << 20, maxDepth: 32 }
const refusals = ['ZT-422-SCHEMA', 'ZT-413-SIZE'] as const

/** What the strict parser accepts, JSON.parse reads the same way; and it says nothing that its text does not say. */
function agrees(text: string): void {
  const value = refusalOr(() => parseStrictJson(text, limits), refusals)
  if (typeof value === 'string' && value.startsWith('ZT-4')) return
  assert.equal(JSON.stringify(value), JSON.stringify(JSON.parse(text)))
}

describe('strict json', () => {
  it('reads back every value, whatever the spacing', () => {
    const property = fc.property(strictJson, fc.constantFrom(undefined, 1, '\t', ' \n'), (value, space) => {
      const text = JSON.stringify(value, undefined, space)
      assert.equal(JSON.stringify(parseStrictJson(text, limits)), JSON.stringify(value))
      assert.equal(JSON.stringify(parseStrictJson(Buffer.from(text), limits)), JSON.stringify(value))
    })
    fc.assert(property, RUNS)
  })

  it('never reads a text otherwise than JSON.parse, and refuses with its own codes only', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), agrees), RUNS)
    fc.assert(
      fc.property(
        fc.string({
          unit: fc.constantFrom(...Array.from('{}[]",:\\u0123456789eE+-.truefalsn dD8c\t\n\ufeff')),
        }),
        agrees,
      ),
      RUNS,
    )
    fc.assert(
      fc.property(strictJson, edit, (value, damage) => agrees(damage(JSON.stringify(value)))),
      RUNS,
    )
  })

  it('never takes bytes for text that they are not', () => {
    const property = fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const value = refusalOr(() => parseStrictJson(bytes, limits), refusals)
      if (typeof value === 'string' && value.startsWith('ZT-4')) return
      assert.deepEqual(Buffer.from(Buffer.from(bytes).toString('utf8')), Buffer.from(bytes))
    })
    fc.assert(property, RUNS)
  })

  it('refuses every object with a repeated key', () => {
    const property = fc.property(fc.string({ unit: 'grapheme' }), strictJson, strictJson, (key, a, b) => {
      const name = JSON.stringify(key)
      const text = `{${name}:${JSON.stringify(a)},"other-key-x":1,${name}:${JSON.stringify(b)}}`
      assert.throws(() => parseStrictJson(text, limits), { code: 'ZT-422-SCHEMA' })
    })
    fc.assert(property, RUNS)
  })
})

describe('canonical json', () => {
  it('is one text for one value: it survives parsing, and the order of keys does not matter', () => {
    const property = fc.property(strictJson, (value) => {
      const text = canonicalJson(value)
      assert.equal(canonicalJson(parseStrictJson(text, limits)), text)
      assert.equal(canonicalJson(reversed(value)), text)
    })
    fc.assert(property, RUNS)
  })

  it('differs for values that differ', () => {
    const property = fc.property(strictJson, strictJson, (a, b) => {
      let same = true
      try {
        assert.deepEqual(a, b)
      } catch {
        same = false
      }
      assert.equal(canonicalJson(a) === canonicalJson(b), same)
    })
    fc.assert(property, RUNS)
  })
})

describe('base64 and base32', () => {
  it('round-trip, and accept one text for one byte string', () => {
    const property = fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      assert.deepEqual(decodeBase64url(encodeBase64url(bytes), 'x'), bytes)
      assert.deepEqual(decodeBase64(encodeBase64(bytes), 'x'), bytes)
      assert.equal(encodeBase32(bytes).length, Math.ceil((bytes.length * 8) / 5))
    })
    fc.assert(property, RUNS)
    const texts = fc.property(fc.string(), fc.uint8Array({ maxLength: 20 }), edit, (noise, bytes, damage) => {
      for (const text of [noise, damage(encodeBase64url(bytes)), damage(encodeBase64(bytes))]) {
        const url = refusalOr(() => decodeBase64url(text, 'x'), ['ZT-400-MALFORMED'])
        if (typeof url !== 'string') assert.equal(encodeBase64url(url), text)
        const standard = refusalOr(() => decodeBase64(text, 'x'), ['ZT-400-MALFORMED'])
        if (typeof standard !== 'string') assert.equal(encodeBase64(standard), text)
      }
    })
    fc.assert(texts, RUNS)
  })
})

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([key, member]) => [key, reversed(member)]),
  )
}
