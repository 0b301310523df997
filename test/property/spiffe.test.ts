// Bundle documents and foreign chains are hostile bytes: whatever comes in, the answer is a value or a code of their own, and
// what is accepted reads the same when it is written again.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { parseStrictJson, parseForeignJson } from '#shared/encoding/strict-json.ts'
import { isZtError } from '#shared/errors/error.ts'
import { parseTrustDomain } from '#shared/identity/names.ts'
import { encodeBundle, parseBundleDocument } from '#shared/spiffe/bundle-document.ts'
import { buildBundleMap, parseBundleMap } from '#shared/spiffe/bundle-map.ts'
import { verifyForeignSvid } from '#shared/spiffe/foreign-svid.ts'
import { bundleText, foreignCa, foreignLeaf, publicJwkOf, x509Jwk } from '#test/support/foreign-pki.ts'
import { refusalOr, RUNS, strictJson } from '#test/support/fuzz.ts'

const NOW = Date.UTC(2026, 10, 22, 12)
const TD = parseTrustDomain('other.example')
const ca = foreignCa(TD, { at: NOW })
const middle = foreignCa(TD, { at: NOW, issuer: ca, name: 'middle', kind: 'rsa' })
const leaf = foreignLeaf(middle, `spiffe://${TD}/a`, { at: NOW })
const good = bundleText([x509Jwk(ca), { use: 'jwt-svid', kid: 'k', ...publicJwkOf(ca.key) }])
const bundle = parseBundleDocument(good, TD)

/** One to three bytes of it are others. */
const bent = (bytes: Uint8Array): fc.Arbitrary<Uint8Array> =>
  fc
    .array(fc.tuple(fc.nat({ max: bytes.length - 1 }), fc.nat({ max: 255 })), { minLength: 1, maxLength: 3 })
    .map((edits) => {
      const changed = Uint8Array.from(bytes)
      for (const [at, value] of edits) changed[at] = value
      return changed
    })

describe('bundle documents', () => {
  const judge = (text: Uint8Array | string): void => {
    const read = refusalOr(() => parseBundleDocument(text, TD), ['ZT-422-SPIFFE-BUNDLE'])
    if (typeof read === 'string') return
    const again = parseBundleDocument(encodeBundle(read), TD)
    assert.deepEqual(encodeBundle(again), encodeBundle(read))
    assert.deepEqual(again.unusable, [])
    const map = parseBundleMap(buildBundleMap([read])).get(TD)
    assert.equal(map?.x509Authorities.length, read.x509Authorities.length)
  }

  it('with bytes changed are a document or refused', () => {
    fc.assert(fc.property(bent(Buffer.from(good)), judge), RUNS)
  })

  it('with any values in them are a document or refused', () => {
    const entry = fc.record(
      {
        kty: fc.oneof(fc.constantFrom('EC', 'RSA'), strictJson),
        use: fc.oneof(fc.constantFrom('x509-svid', 'jwt-svid'), strictJson),
        kid: strictJson,
        x5c: fc.oneof(strictJson, fc.array(fc.base64String(), { maxLength: 2 })),
        crv: fc.oneof(fc.constantFrom('P-256', 'P-384'), strictJson),
        x: fc.oneof(fc.base64String(), strictJson),
        y: strictJson,
        n: strictJson,
        e: strictJson,
      },
      { requiredKeys: [] },
    )
    const document = fc.record({
      keys: fc.oneof(fc.array(entry, { maxLength: 4 }), strictJson),
      more: strictJson,
    })
    fc.assert(
      fc.property(document, (value) => judge(JSON.stringify(value))),
      RUNS,
    )
  })
})

describe('foreign chains', () => {
  it('with bytes changed are valid only where nothing that counts was changed', () => {
    const chain = [leaf.der, middle.der]
    fc.assert(
      fc.property(fc.nat({ max: 1 }), bent(leaf.der), bent(middle.der), (which, bentLeaf, bentMiddle) => {
        const [changed, original] = which === 0 ? [bentLeaf, leaf.der] : [bentMiddle, middle.der]
        const made = which === 0 ? [changed, middle.der] : [leaf.der, changed]
        try {
          verifyForeignSvid(made, () => bundle, NOW)
          // An ECDSA signature has two forms, and the unsigned wrapping of a certificate none: equal bytes alone are left.
          assert.deepEqual(Buffer.from(changed), Buffer.from(original))
        } catch (error) {
          if (!isZtError(error, 'ZT-401-CERT')) throw error
        }
      }),
      RUNS,
    )
    assert.ok(verifyForeignSvid(chain, () => bundle, NOW))
  })
})

describe('json of others', () => {
  it('is the same value as strict json where that takes it, but for numbers', () => {
    fc.assert(
      fc.property(strictJson, (value) => {
        const text = JSON.stringify(value)
        const limits = { maxBytes: 1_000_000, maxDepth: 64 }
        const plain = JSON.stringify(parseForeignJson(text, limits), (_key, one: unknown) =>
          typeof one === 'object' &&
          one !== null &&
          'text' in one &&
          Object.keys(one).length === 1 &&
          Object.getPrototypeOf(one) !== null
            ? Number(one.text)
            : one,
        )
        assert.equal(plain, JSON.stringify(parseStrictJson(text, limits)))
      }),
      RUNS,
    )
  })
  for (const number of ['0', '-0', '1.5', '1e400', '-2E-3', '123456789012345678901234567890'])
    it(`keeps ${number}`, () => {
      assert.deepEqual((parseForeignJson(number, { maxBytes: 64 }) as { text?: string }).text, number)
    })
  for (const bad of ['01', '+1', '.5', '1.', '1e', 'NaN', 'Infinity', '0x1', '1_0', '--1'])
    it(`refuses ${bad}`, () => {
      assert.throws(() => parseForeignJson(bad, { maxBytes: 64 }), { code: 'ZT-422-SCHEMA' })
    })
})
