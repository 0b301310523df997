import assert from 'node:assert/strict'
import { generateKeyPairSync, sign } from 'node:crypto'
import { describe, it } from 'node:test'
import { encodeBase64, encodeBase64url } from '#shared/encoding/base64url.ts'
import { generateP256, thumbprint } from '#shared/jose/keys.ts'
import {
  BUNDLE_TYP,
  parseJws,
  signJws,
  signJwsWith,
  verifyJws,
  type Signer,
  type SvidSigner,
} from '#shared/jose/jws.ts'

// JWS carries certificates and judges none: any bytes will do for one here.
const leaf = Buffer.from('leaf certificate')
const intermediate = Buffer.from('intermediate certificate')
const keys = generateP256()
const signer: SvidSigner = {
  alg: 'ES256',
  x5c: [leaf, intermediate],
  sign: (data) => sign('sha256', data, { key: keys.privateKey, dsaEncoding: 'ieee-p1363' }),
}
const form = { typ: 'zt-test+jws', maxBytes: 8192 }
const payload = Buffer.from('{"a":1}')
const text = signJws({ typ: form.typ, payload, signer })

const goodHeader = {
  alg: 'ES256',
  typ: form.typ,
  'x5t#S256': thumbprint(leaf),
  x5c: [encodeBase64(leaf), encodeBase64(intermediate)],
  crit: ['zt'],
  zt: 1,
}

/** A JWS with any header, soundly signed over it. */
function withHeader(header: unknown): string {
  const json = typeof header === 'string' ? header : JSON.stringify(header)
  const input = `${encodeBase64url(Buffer.from(json))}.${encodeBase64url(payload)}`
  return `${input}.${encodeBase64url(signer.sign(Buffer.from(input)))}`
}

describe('jws', () => {
  it('gives back the payload once the signature holds', () => {
    const jws = parseJws(text, form)
    assert.deepEqual(Buffer.from(verifyJws(jws, keys.publicKey)), payload)
    assert.equal(jws.thumbprint, thumbprint(leaf))
    assert.deepEqual(
      jws.x5c.map((der) => Buffer.from(der)),
      [leaf, intermediate],
    )
    assert.equal('payload' in jws, false)
  })

  it('accepts an empty payload', () => {
    const empty = signJws({ typ: form.typ, payload: new Uint8Array(), signer })
    assert.equal(verifyJws(parseJws(empty, form), keys.publicKey).length, 0)
  })

  it('is signed over the bytes that are sent', () => {
    const [head, body, signature] = text.split('.')
    const moved = `${head}.${encodeBase64url(Buffer.from('{"a":2}'))}.${signature}`
    assert.throws(() => verifyJws(parseJws(moved, form), keys.publicKey), { code: 'ZT-401-SIG' })
    assert.ok(body)
  })

  it('refuses every single changed character', () => {
    for (let at = 0; at < text.length; at++) {
      const changed = `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`
      assert.throws(() => verifyJws(parseJws(changed, form), keys.publicKey), {
        code: /^ZT-(?:400-MALFORMED|401-SIG)$/,
      })
    }
  })

  it("refuses a signature by another key, and a key of another kind, as not the signer's", () => {
    const jws = parseJws(text, form)
    const others = [
      generateP256().publicKey,
      generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey,
      generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey,
      generateKeyPairSync('ed25519').publicKey,
      generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey,
    ]
    for (const key of others) assert.throws(() => verifyJws(jws, key), { code: 'ZT-401-SIG' })
  })

  it('refuses a signature of zeros (CVE-2022-21449) and one in DER', () => {
    const input = text.slice(0, text.lastIndexOf('.'))
    const zeros = `${input}.${encodeBase64url(new Uint8Array(64))}`
    assert.throws(() => verifyJws(parseJws(zeros, form), keys.publicKey), { code: 'ZT-401-SIG' })
    const der = sign('sha256', Buffer.from(input), { key: keys.privateKey, dsaEncoding: 'der' })
    assert.throws(() => parseJws(`${input}.${encodeBase64url(der)}`, form), { code: 'ZT-400-MALFORMED' })
  })

  const { typ: _typ, ...withoutTyp } = goodHeader
  const { crit: _crit, ...withoutCrit } = goodHeader
  const { x5c: _x5c, ...withoutChain } = goodHeader
  const { zt: _zt, ...withoutVersion } = goodHeader
  const headers: Record<string, unknown> = {
    'alg none': { ...goodHeader, alg: 'none' },
    'alg HS256': { ...goodHeader, alg: 'HS256' },
    'alg RS256': { ...goodHeader, alg: 'RS256' },
    'alg ES384 for a type that is not a bundle': { ...goodHeader, alg: 'ES384' },
    'another type': { ...goodHeader, typ: 'zt-other+jws' },
    'no type': withoutTyp,
    'no crit': withoutCrit,
    'no chain': withoutChain,
    'no version': withoutVersion,
    'another version': { ...goodHeader, zt: 2 },
    'an unknown critical parameter': { ...goodHeader, crit: ['zt', 'exp'], exp: 1 },
    'an unknown critical parameter alone': { ...goodHeader, crit: ['b64'], b64: false },
    'an empty crit': { ...goodHeader, crit: [] },
    'crit twice the same': { ...goodHeader, crit: ['zt', 'zt'] },
    'a key in the header (jwk)': { ...goodHeader, jwk: { kty: 'EC' } },
    'a key by address (jku)': { ...goodHeader, jku: 'https://attacker.example/keys' },
    'a certificate by address (x5u)': { ...goodHeader, x5u: 'https://attacker.example/cert' },
    'a key id': { ...goodHeader, kid: 'x' },
    'an unencoded payload (b64)': { ...goodHeader, b64: false },
    'the thumbprint of another certificate': { ...goodHeader, 'x5t#S256': thumbprint(intermediate) },
    'a SHA-1 thumbprint': { ...goodHeader, x5t: 'AAAAAAAAAAAAAAAAAAAAAAAAAAA' },
    'an empty chain': { ...goodHeader, x5c: [] },
    'a leaf without its intermediate': { ...goodHeader, x5c: [encodeBase64(leaf)] },
    'a chain of three': { ...goodHeader, x5c: [leaf, intermediate, leaf].map((der) => encodeBase64(der)) },
    'a chain in base64url': { ...goodHeader, x5c: [leaf, intermediate].map((der) => encodeBase64url(der)) },
    'a duplicate key': JSON.stringify(goodHeader).replace('{', '{"alg":"none",'),
    'a list for a header': [],
    'no json at all': 'ES256',
  }
  for (const [what, header] of Object.entries(headers)) {
    it(`refuses ${what}`, () => {
      assert.throws(() => parseJws(withHeader(header), form), { code: 'ZT-400-MALFORMED' })
    })
  }

  const [head = '', body = '', signature = ''] = text.split('.')
  const shapes: Record<string, string> = {
    nothing: '',
    'two parts': `${head}.${body}`,
    'four parts': `${text}.`,
    'five parts': `${text}..`,
    'padding in the header': `${head}=.${body}.${signature}`,
    'a space in the payload': `${head}.${body} .${signature}`,
    'a newline at the end': `${text}\n`,
    'an empty signature': `${head}.${body}.`,
    'a signature that is one byte short': `${head}.${body}.${signature.slice(0, -2)}`,
    'an empty header': `.${body}.${signature}`,
    'the json form': JSON.stringify({ protected: head, payload: body, signature }),
  }
  for (const [what, shape] of Object.entries(shapes)) {
    it(`refuses ${what}`, () => assert.throws(() => parseJws(shape, form), { code: 'ZT-400-MALFORMED' }))
  }

  it('refuses a text over its size before it reads it', () => {
    assert.throws(() => parseJws('A'.repeat(8193), form), { code: 'ZT-400-MALFORMED', message: /larger/ })
  })

  it('is never made by a signer without a chain or with the wrong algorithm for the type', () => {
    const bare = { ...signer, x5c: [] }
    assert.throws(() => signJws({ typ: form.typ, payload, signer: bare }), { code: 'ZT-400-MALFORMED' })
    assert.throws(() => signJws({ typ: BUNDLE_TYP, payload, signer }), { code: 'ZT-400-MALFORMED' })
  })
})

describe('jws of a root', () => {
  const rootKeys = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const root = Buffer.from('root certificate')
  const rootSigner: Signer = {
    alg: 'ES384',
    x5c: [root],
    sign: async (data) =>
      await Promise.resolve(sign('sha384', data, { key: rootKeys.privateKey, dsaEncoding: 'ieee-p1363' })),
  }
  const bundleForm = { typ: BUNDLE_TYP, maxBytes: 8192 }

  it('is ES384 with the root alone, and signed by a key that may be elsewhere', async () => {
    const bundle = await signJwsWith({ typ: BUNDLE_TYP, payload, signer: rootSigner })
    assert.deepEqual(Buffer.from(verifyJws(parseJws(bundle, bundleForm), rootKeys.publicKey)), payload)
    assert.throws(() => verifyJws(parseJws(bundle, bundleForm), keys.publicKey), { code: 'ZT-401-SIG' })
  })

  it('is not accepted with the algorithm of an SVID', () => {
    const weak = withHeader({ ...goodHeader, typ: BUNDLE_TYP })
    assert.throws(() => parseJws(weak, bundleForm), { code: 'ZT-400-MALFORMED' })
  })

  it('is not accepted for any other type', async () => {
    await assert.rejects(signJwsWith({ typ: 'zt-cmd+jws', payload, signer: rootSigner }), {
      code: 'ZT-400-MALFORMED',
    })
  })
})
