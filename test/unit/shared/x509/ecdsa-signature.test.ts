// The one form of an ECDSA signature.
import assert from 'node:assert/strict'
import { generateKeyPairSync, sign, verify } from 'node:crypto'
import { describe, it } from 'node:test'
import { integer, sequence } from '#shared/x509/der-writer.ts'
import { canonicalSignature, isCanonicalSignature, rawSignature } from '#shared/x509/ecdsa-signature.ts'

const HASH = { 'P-256': 'sha256', 'P-384': 'sha384' } as const

describe('ecdsa signature', () => {
  for (const curve of ['P-256', 'P-384'] as const) {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: curve })

    it(`of ${curve} verifies in its canonical form, whichever half it was in`, () => {
      let negated = 0
      for (let at = 0; at < 64; at += 1) {
        const raw = sign(HASH[curve], Buffer.of(at), { key: privateKey, dsaEncoding: 'ieee-p1363' })
        const der = canonicalSignature(raw, curve)
        assert.ok(verify(HASH[curve], Buffer.of(at), publicKey, der))
        assert.ok(isCanonicalSignature(der, curve))
        if (Buffer.compare(rawSignature(der, curve), raw) !== 0) negated += 1
      }
      assert.ok(negated > 0 && negated < 64)
    })
  }

  const one = Uint8Array.of(1)
  const half = Buffer.from('7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8', 'hex')
  const above = Buffer.from('7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a9', 'hex')

  it('is canonical up to half of the order, and not above', () => {
    assert.equal(isCanonicalSignature(sequence(integer(one), integer(half)), 'P-256'), true)
    assert.equal(isCanonicalSignature(sequence(integer(one), integer(above)), 'P-256'), false)
  })

  const refused: Record<string, Uint8Array> = {
    nothing: new Uint8Array(),
    'one number': sequence(integer(one)),
    'three numbers': sequence(integer(one), integer(one), integer(one)),
    'a number with a superfluous zero': sequence(Uint8Array.of(2, 2, 0, 1), integer(one)),
    'a negative number': sequence(Uint8Array.of(2, 1, 0xff), integer(one)),
    'a number that is too long': sequence(integer(new Uint8Array(33).fill(1)), integer(one)),
    'a byte after it': Uint8Array.from([...sequence(integer(one), integer(one)), 0]),
    'a long length': Uint8Array.of(0x30, 0x81, 6, 2, 1, 1, 2, 1, 1),
  }
  for (const [what, bytes] of Object.entries(refused)) {
    it(`is not canonical as ${what}`, () => {
      assert.equal(isCanonicalSignature(bytes, 'P-256'), false)
      assert.throws(() => rawSignature(bytes, 'P-256'), { code: 'ZT-422-CERT' })
    })
  }

  it('is not made from octets of another length', () => {
    assert.throws(() => canonicalSignature(new Uint8Array(64), 'P-384'), { code: 'ZT-422-CERT' })
  })
})
