// SPIFFE JWT-SVID §2 to §5: items 31 to 34. More refusals are in test/unit/shared/spiffe/jwt-svid.test.ts.
import assert from 'node:assert/strict'
import { createHmac, generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { describe } from 'node:test'
import { FlattenedSign } from 'jose'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { parseTrustDomain } from '#shared/identity/names.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { parseBundleDocument, type BundleDocument } from '#shared/spiffe/bundle-document.ts'
import { JWT_ALGORITHMS, verifyForm, type JwtAlgorithm } from '#shared/spiffe/jwt-keys.ts'
import { signJwtSvid, validateJwtSvid, type VerifiedJwtSvid } from '#shared/spiffe/jwt-svid.ts'
import { accepts, refuses } from '#test/support/conformance.ts'
import { bundleText, foreignCa, publicJwkOf, x509Jwk } from '#test/support/foreign-pki.ts'

const NOW = Date.UTC(2026, 10, 22, 12)
const NOW_S = NOW / 1000
const TD = parseTrustDomain('other.example')
const SUB = `spiffe://${TD}/workload`
const AUDIENCE = 'reports'

const CURVES = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' } as const
const keys: Readonly<Record<JwtAlgorithm, KeyObject>> = Object.fromEntries(
  JWT_ALGORITHMS.map((alg) => [
    alg,
    alg === 'ES256' || alg === 'ES384' || alg === 'ES512'
      ? generateKeyPairSync('ec', { namedCurve: CURVES[alg] }).privateKey
      : generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
  ]),
) as Record<JwtAlgorithm, KeyObject>

const entry = (alg: JwtAlgorithm, change: object = {}): object => ({
  use: 'jwt-svid',
  kid: alg,
  ...publicJwkOf(keys[alg]),
  ...change,
})
const document = (entries: readonly object[], domain = TD): BundleDocument =>
  parseBundleDocument(bundleText(entries), domain)
const ALL = document(JWT_ALGORITHMS.map((alg) => entry(alg)))

function judge(token: string, bundle: BundleDocument = ALL, audience = AUDIENCE): VerifiedJwtSvid {
  return validateJwtSvid(token, {
    audience,
    now: NOW,
    authorities: (domain) => (domain === bundle.trustDomain ? bundle.jwtAuthorities : undefined),
  })
}

const CLAIMS = { sub: SUB, aud: [AUDIENCE], exp: NOW_S + 60, iat: NOW_S }
const encode = (value: unknown): string => encodeBase64url(Buffer.from(JSON.stringify(value)))

/** Any header over any claims, soundly signed with the key of that algorithm. */
function token(alg: JwtAlgorithm, change: { header?: object; claims?: object } = {}): string {
  const signed = `${encode(change.header ?? { alg, kid: alg })}.${encode(change.claims ?? CLAIMS)}`
  const { hash, options } = verifyForm(alg)
  return `${signed}.${encodeBase64url(sign(hash, Buffer.from(signed), { key: keys[alg], ...options }))}`
}

const without = (name: keyof typeof CLAIMS): object =>
  Object.fromEntries(Object.entries(CLAIMS).filter(([key]) => key !== name))
const BAD = { code: 'ZT-401-JWT-SVID' }

// §1: "utilizing JWS Compact Serialization in all cases. JWS JSON Serialization MUST NOT be used."
describe('serialization', () => {
  accepts(31, 'the compact form', () => assert.equal(judge(token('ES256')).id, SUB))

  refuses(31, 'the json form of the same token', async () => {
    const jws = await new FlattenedSign(Buffer.from(JSON.stringify(CLAIMS)))
      .setProtectedHeader({ alg: 'ES256', kid: 'ES256' })
      .sign(keys.ES256)
    assert.throws(() => judge(JSON.stringify(jws)), BAD)
  })
  const [header = '', payload = '', signature = ''] = token('ES256').split('.')
  const bad: Record<string, string> = {
    'two parts': `${header}.${payload}`,
    'four parts': `${header}.${payload}.${signature}.`,
    'no signature': `${header}.${payload}.`,
    'padded base64': `${header}=.${payload}.${signature}`,
    'a space before it': ` ${header}.${payload}.${signature}`,
    nothing: '',
  }
  for (const [what, text] of Object.entries(bad))
    refuses(31, what, () => assert.throws(() => judge(text), BAD))
})

// §2.1: "Validators receiving a token with the alg parameter set to a different value MUST reject the token." §2.3: "its value
// MUST be either JWT or JOSE." §2: "Any header not described here, registered or private, MUST NOT be included".
describe('header', () => {
  for (const alg of JWT_ALGORITHMS) accepts(32, alg, () => assert.equal(judge(token(alg)).id, SUB))
  for (const header of [{ alg: 'ES256' }, { alg: 'ES256', typ: 'JWT' }, { alg: 'ES256', typ: 'JOSE' }])
    accepts(32, JSON.stringify(header), () => {
      assert.equal(judge(token('ES256', { header }), document([entry('ES256')])).id, SUB)
    })

  const headers: Record<string, object> = {
    'no alg': { kid: 'ES256' },
    none: { alg: 'none' },
    HS256: { alg: 'HS256', kid: 'ES256' },
    EdDSA: { alg: 'EdDSA', kid: 'ES256' },
    ES256K: { alg: 'ES256K', kid: 'ES256' },
    'small letters': { alg: 'es256', kid: 'ES256' },
    'another typ': { alg: 'ES256', kid: 'ES256', typ: 'at+jwt' },
    'typ in small letters': { alg: 'ES256', kid: 'ES256', typ: 'jwt' },
    jwk: { alg: 'ES256', kid: 'ES256', jwk: publicJwkOf(keys.ES256) },
    jku: { alg: 'ES256', kid: 'ES256', jku: 'https://a.example' },
    crit: { alg: 'ES256', kid: 'ES256', crit: ['exp'] },
    'a private header': { alg: 'ES256', kid: 'ES256', x: 1 },
  }
  for (const [what, header] of Object.entries(headers))
    refuses(32, what, () => assert.throws(() => judge(token('ES256', { header })), BAD))

  refuses(32, 'the public key as an hmac secret', () => {
    const signed = `${encode({ alg: 'HS256', kid: 'ES256' })}.${encode(CLAIMS)}`
    const secret = JSON.stringify(publicJwkOf(keys.ES256))
    assert.throws(
      () => judge(`${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`),
      BAD,
    )
  })
})

// §3.1: "The sub claim MUST be set to the SPIFFE ID". §3.2: "Validators MUST reject tokens without an aud claim set, or if the
// value that the validator identifies with is not present". §3.3: "validators MUST reject tokens without this claim."
describe('claims', () => {
  accepts(33, 'a subject, an audience that is me, and an end that is to come', () => {
    const { id, expires } = judge(token('ES256', { claims: { ...CLAIMS, aud: ['other', AUDIENCE] } }))
    assert.deepEqual([id, expires], [SUB, NOW_S + 60])
    assert.equal(judge(token('ES256', { claims: { ...CLAIMS, aud: AUDIENCE } })).id, SUB)
  })
  accepts(33, 'what we sign ourselves', () => {
    const ours = signJwtSvid(
      { kid: 'ES256', privateKey: keys.ES256 },
      { sub: parseSpiffeId(SUB), aud: [AUDIENCE], iat: NOW_S, exp: NOW_S + 60, jti: 'one' },
    )
    assert.equal(judge(ours).id, SUB)
  })

  const bad: Record<string, object> = {
    'no sub': without('sub'),
    'a sub that is no spiffe id': { ...CLAIMS, sub: 'workload' },
    'a sub without a path': { ...CLAIMS, sub: `spiffe://${TD}` },
    'no aud': without('aud'),
    'an empty aud': { ...CLAIMS, aud: [] },
    'an empty text for aud': { ...CLAIMS, aud: '' },
    'an aud of others': { ...CLAIMS, aud: ['other'] },
    'an aud that only begins like mine': { ...CLAIMS, aud: [`${AUDIENCE}/x`] },
    'an aud that differs in case': { ...CLAIMS, aud: ['Reports'] },
    'no exp': without('exp'),
    'an exp that is past': { ...CLAIMS, exp: NOW_S - 1 },
    'an exp of this very second': { ...CLAIMS, exp: NOW_S },
    'an exp that is text': { ...CLAIMS, exp: String(NOW_S + 60) },
    'an exp of null': { ...CLAIMS, exp: null },
  }
  for (const [what, claims] of Object.entries(bad))
    refuses(33, what, () => assert.throws(() => judge(token('ES256', { claims })), BAD))
  refuses(33, 'anything for an audience without a name', () => {
    assert.throws(() => judge(token('ES256', { claims: { ...CLAIMS, aud: [''] } }), ALL, ''), BAD)
  })
})

// §6.2: "Implementations MUST extract the JWT-SVID specific keys before using them"; Federation §7.3.
describe('key', () => {
  const own = document([entry('ES256')])

  accepts(34, 'a key of the bundle of the subject’s trust domain', () =>
    assert.equal(judge(token('ES256'), own).id, SUB),
  )
  accepts(34, 'the named one of several keys', () => assert.equal(judge(token('PS384')).id, SUB))

  const bundles: Record<string, () => BundleDocument> = {
    'the bundle of another trust domain': () => document([entry('ES256')], parseTrustDomain('third.example')),
    'a bundle without the key': () => document([entry('ES384')]),
    'a bundle that has the key under another name': () => document([entry('ES256', { kid: 'x' })]),
    'another key under that name': () =>
      document([
        { ...entry('ES256'), ...publicJwkOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey) },
      ]),
    'a bundle that has the key for another use': () => document([entry('ES256', { use: 'x509-svid' })]),
    'an empty bundle': () => document([]),
  }
  for (const [what, bundle] of Object.entries(bundles))
    refuses(34, `a token by ${what}`, () => assert.throws(() => judge(token('ES256'), bundle()), BAD))

  refuses(34, 'a token by the key of an x509 authority of that very trust domain', () => {
    const ca = foreignCa(TD, { at: NOW })
    const signed = `${encode({ alg: 'ES256' })}.${encode(CLAIMS)}`
    const signature = sign('sha256', Buffer.from(signed), { key: ca.key, dsaEncoding: 'ieee-p1363' })
    const bundle = document([x509Jwk(ca), entry('ES256')])
    assert.throws(() => judge(`${signed}.${encodeBase64url(signature)}`, bundle), BAD)
  })
})
