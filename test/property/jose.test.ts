import assert from 'node:assert/strict'
import { sign } from 'node:crypto'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { encodeBase64, encodeBase64url } from '#shared/encoding/base64url.ts'
import { openJwe, sealJwe, type OpenOptions } from '#shared/jose/jwe.ts'
import { parseJws, signJws, verifyJws, type SvidSigner } from '#shared/jose/jws.ts'
import { generateP256, generateX25519, thumbprint } from '#shared/jose/keys.ts'
import { change, changed, edit, refusalOr, RUNS } from '#test/support/fuzz.ts'

const keys = generateP256()
const leaf = Buffer.from('leaf')
const signer: SvidSigner = {
  alg: 'ES256',
  x5c: [leaf, Buffer.from('intermediate')],
  sign: (data) => sign('sha256', data, { key: keys.privateKey, dsaEncoding: 'ieee-p1363' }),
}
const form = { typ: 'zt-test+jws', maxBytes: 1 << 20 }

const receiver = generateX25519()
const seal = { kid: 'k', publicKey: receiver.publicKey, typ: 'zt-env+jwe', cty: 'zt-test+jws' }
const open: OpenOptions = {
  typ: seal.typ,
  cty: seal.cty,
  maxBytes: 1 << 20,
  key: (kid) => (kid === 'k' ? receiver.privateKey : undefined),
}

const verified = (text: string): Uint8Array | string =>
  refusalOr(() => verifyJws(parseJws(text, form), keys.publicKey), ['ZT-400-MALFORMED', 'ZT-401-SIG'])
const opened = (text: string): { plaintext: Uint8Array } | string =>
  refusalOr(() => openJwe(text, open), ['ZT-400-MALFORMED', 'ZT-400-KID'])

describe('jws', () => {
  it('returns every payload unchanged', () => {
    const property = fc.property(fc.uint8Array({ maxLength: 300 }), (payload) => {
      assert.deepEqual(
        Uint8Array.from(verified(signJws({ typ: form.typ, payload, signer })) as Uint8Array),
        payload,
      )
    })
    fc.assert(property, RUNS)
  })

  it('accepts no damaged text', () => {
    const text = signJws({ typ: form.typ, payload: Buffer.from('{"a":1}'), signer })
    const property = fc.property(edit, (damage) => {
      const bent = damage(text)
      if (bent !== text) assert.equal(typeof verified(bent), 'string')
    })
    fc.assert(property, RUNS)
  })

  it('refuses noise with its own codes', () => {
    const noise = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(fc.base64String(), { maxLength: 5 }).map((parts) => parts.join('.')),
      fc
        .array(
          fc.json().map((json) => Buffer.from(json).toString('base64url')),
          { maxLength: 4 },
        )
        .map((parts) => parts.join('.')),
    )
    fc.assert(
      fc.property(noise, (text) => assert.equal(verified(text), 'ZT-400-MALFORMED')),
      RUNS,
    )
  })

  it('accepts no other header than the one it writes, though soundly signed', () => {
    const header = {
      alg: 'ES256',
      typ: form.typ,
      'x5t#S256': thumbprint(leaf),
      x5c: signer.x5c.map((der) => encodeBase64(der)),
      crit: ['zt'],
      zt: 1,
    }
    const property = fc.property(change, (difference) => {
      const json = JSON.stringify(changed(header, difference)) ?? ''
      const input = `${encodeBase64url(Buffer.from(json))}.e30`
      const result = verified(`${input}.${encodeBase64url(signer.sign(Buffer.from(input)))}`)
      if (typeof result === 'string') return
      // Only the second certificate may be another: it is the chain's validation that judges it.
      const accepted = JSON.parse(json) as typeof header
      assert.deepEqual(
        { ...accepted, x5c: accepted.x5c.slice(0, 1) },
        { ...header, x5c: header.x5c.slice(0, 1) },
      )
    })
    fc.assert(property, RUNS)
  })
})

describe('jwe', () => {
  it('returns every plaintext unchanged', () => {
    const property = fc.property(fc.uint8Array({ maxLength: 300 }), (plaintext) => {
      const result = opened(sealJwe(plaintext, seal))
      assert.ok(typeof result !== 'string')
      assert.deepEqual(Uint8Array.from(result.plaintext), plaintext)
    })
    fc.assert(property, RUNS)
  })

  it('opens no damaged text', () => {
    const text = sealJwe(Buffer.from('{"a":1}'), seal)
    const property = fc.property(edit, (damage) => {
      const bent = damage(text)
      if (bent !== text) assert.equal(typeof opened(bent), 'string')
    })
    fc.assert(property, RUNS)
  })

  it('refuses noise and any other header with its own codes', () => {
    const text = sealJwe(Buffer.from('{"a":1}'), seal)
    const [head = '', ...rest] = text.split('.')
    const header = JSON.parse(Buffer.from(head, 'base64url').toString()) as unknown
    const property = fc.property(fc.string({ unit: 'binary' }), change, (noise, difference) => {
      assert.equal(opened(noise), 'ZT-400-MALFORMED')
      const json = JSON.stringify(changed(header, difference)) ?? ''
      const bent = [Buffer.from(json).toString('base64url'), ...rest].join('.')
      if (bent !== text) assert.equal(typeof opened(bent), 'string')
    })
    fc.assert(property, RUNS)
  })
})
