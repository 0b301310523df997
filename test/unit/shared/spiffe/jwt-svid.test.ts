import assert from 'node:assert/strict'
import { generateKeyPairSync, randomUUID, sign, type KeyObject } from 'node:crypto'
import { describe, it } from 'node:test'
import { jwtVerify } from 'jose'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { isZtError } from '#shared/errors/error.ts'
import { parseSpiffeId, trustDomainOf } from '#shared/identity/spiffe-id.ts'
import {
  ecJwkOf,
  jwkThumbprint,
  publicKeyOfJwk,
  verifyForm,
  type JwtAlgorithm,
} from '#shared/spiffe/jwt-keys.ts'
import { signJwtSvid, validateJwtSvid, type JwtSvidContext } from '#shared/spiffe/jwt-svid.ts'

const NOW_S = 1_800_000_000
const sub = parseSpiffeId('spiffe://td.test/agent/reports/task/p-aaaaaaaaaaaaaaaaaaaa')
const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const kid = jwkThumbprint(ecJwkOf(pair.publicKey))
const key = { kid, privateKey: pair.privateKey }
const claims = { sub, aud: ['reports'], iat: NOW_S, exp: NOW_S + 60, jti: randomUUID() }
const context = (change: Partial<JwtSvidContext> = {}): JwtSvidContext => ({
  audience: 'reports',
  now: NOW_S * 1000,
  authorities: (domain) => (domain === 'td.test' ? [{ kid, publicKey: pair.publicKey }] : undefined),
  ...change,
})

interface Bent {
  readonly header?: object
  readonly claims?: unknown
  readonly key?: KeyObject
  readonly alg?: JwtAlgorithm
}

/** A token with any header and any claims, soundly signed over them. */
function bent(change: Bent): string {
  const alg = change.alg ?? 'ES256'
  const header = change.header ?? { alg, kid, typ: 'JWT' }
  const body = change.claims ?? claims
  const text = [header, body].map((part) => encodeBase64url(Buffer.from(JSON.stringify(part)))).join('.')
  const { hash, options } = verifyForm(alg)
  const signature = sign(hash, Buffer.from(text), { key: change.key ?? pair.privateKey, ...options })
  return `${text}.${encodeBase64url(signature)}`
}

/** A token of any text, soundly signed over it. */
function raw(payload: string): string {
  const header = JSON.stringify({ alg: 'ES256', kid })
  const text = [header, payload].map((part) => encodeBase64url(Buffer.from(part))).join('.')
  const signature = sign('sha256', Buffer.from(text), { key: pair.privateKey, dsaEncoding: 'ieee-p1363' })
  return `${text}.${encodeBase64url(signature)}`
}

const reasonOf = (run: () => unknown): unknown => {
  try {
    run()
    return 'accepted'
  } catch (error) {
    return isZtError(error) && error.code === 'ZT-401-JWT-SVID' ? error.details['reason'] : error
  }
}

describe('a jwt-svid', () => {
  it('says what it was made from, to its audience', () => {
    const verified = validateJwtSvid(signJwtSvid(key, claims), context())
    assert.equal(verified.id, sub)
    assert.deepEqual(verified.audiences, ['reports'])
    assert.equal(verified.expires, NOW_S + 60)
    assert.equal(verified.claims['jti'], claims.jti)
  })

  it('is accepted by a verifier that others wrote', async () => {
    const token = signJwtSvid(key, claims)
    const options = { audience: 'reports', currentDate: new Date(NOW_S * 1000), algorithms: ['ES256'] }
    const { payload, protectedHeader } = await jwtVerify(token, pair.publicKey, options)
    assert.equal(payload.sub, sub)
    assert.deepEqual(protectedHeader, { alg: 'ES256', kid, typ: 'JWT' })
  })

  const unsigned: Record<string, object> = {
    'without an audience': { aud: [] },
    'for an empty audience': { aud: [''] },
    'for nine audiences': { aud: Array.from('123456789') },
    'for 61 seconds': { exp: NOW_S + 61 },
    'for no time': { exp: NOW_S },
    'without an end': { exp: Number.NaN },
  }
  for (const [what, change] of Object.entries(unsigned))
    it(`is never signed ${what}`, () => {
      assert.throws(() => signJwtSvid(key, { ...claims, ...change }), { code: 'ZT-422-SCHEMA' })
    })

  const accepted: Record<string, Bent> = {
    'one audience alone, as text': { claims: { ...claims, aud: 'reports' } },
    'no type': { header: { alg: 'ES256', kid } },
    'the type JOSE': { header: { alg: 'ES256', kid, typ: 'JOSE' } },
    'no key id': { header: { alg: 'ES256' } },
    'an end within a second': { claims: { ...claims, exp: NOW_S + 0.5 } },
    'further claims': { claims: { ...claims, 'https://td.test/x': { y: [true] } } },
  }
  for (const [what, change] of Object.entries(accepted))
    it(`is accepted with ${what}`, () => {
      assert.equal(validateJwtSvid(bent(change), context()).id, sub)
    })

  const { aud: _aud, ...noAudience } = claims
  const { exp: _exp, ...noEnd } = claims
  const { sub: _sub, ...noSubject } = claims
  const refused: Record<string, readonly [Bent, string]> = {
    'no audience': [{ claims: noAudience }, 'aud'],
    'an empty list of audiences': [{ claims: { ...claims, aud: [] } }, 'aud'],
    'an audience that is a number': [{ claims: { ...claims, aud: [7] } }, 'aud'],
    'another audience': [{ claims: { ...claims, aud: ['reports2'] } }, 'aud'],
    'no end': [{ claims: noEnd }, 'exp'],
    'an end that is text': [{ claims: { ...claims, exp: `${NOW_S + 60}` } }, 'exp'],
    'an end that is now': [{ claims: { ...claims, exp: NOW_S } }, 'exp'],
    'a beginning to come': [{ claims: { ...claims, nbf: NOW_S + 31 } }, 'nbf'],
    'no subject': [{ claims: noSubject }, 'sub'],
    'a subject that is no spiffe id': [{ claims: { ...claims, sub: 'https://td.test/agent' } }, 'sub'],
    'a subject that is a trust domain': [{ claims: { ...claims, sub: 'spiffe://td.test' } }, 'sub'],
    'a subject of another trust domain': [
      { claims: { ...claims, sub: 'spiffe://other.test/agent/a/task/b' } },
      'bundle',
    ],
    'the algorithm none': [{ header: { alg: 'none', kid } }, 'header'],
    'the algorithm HS256': [{ header: { alg: 'HS256', kid } }, 'header'],
    'the type at+jwt': [{ header: { alg: 'ES256', kid, typ: 'at+jwt' } }, 'header'],
    'a header jku': [{ header: { alg: 'ES256', kid, jku: 'https://td.test/keys' } }, 'header'],
    'a header crit': [{ header: { alg: 'ES256', kid, crit: [] } }, 'header'],
    'another key id': [{ header: { alg: 'ES256', kid: 'other' } }, 'key'],
    'an algorithm of another kind of key': [{ header: { alg: 'RS256', kid } }, 'key'],
    'an algorithm of another curve': [{ header: { alg: 'ES384', kid } }, 'key'],
    'the signature of another key': [
      { key: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey },
      'signature',
    ],
    'claims that are a list': [{ claims: [claims] }, 'form'],
    'an end a part of a second ago': [{ claims: { ...claims, exp: NOW_S - 0.5 } }, 'exp'],
  }
  for (const [what, [change, reason]] of Object.entries(refused))
    it(`is refused with ${what}`, () => {
      assert.equal(
        reasonOf(() => validateJwtSvid(bent(change), context())),
        reason,
      )
    })

  const good = signJwtSvid(key, claims)
  const misshapen: Record<string, string> = {
    'two parts': good.slice(0, good.lastIndexOf('.')),
    'four parts': `${good}.AAAA`,
    'json serialization': JSON.stringify({ payload: 'x', signatures: [] }),
    'a trailing newline': `${good}\n`,
    nothing: '',
    'too many bytes': `${good}${'A'.repeat(20_000)}`,
    'the same claim twice': raw(`{"sub":"${sub}","aud":"reports","exp":1,"exp":${NOW_S + 60}}`),
    'a number that no double holds': raw(`{"sub":"${sub}","aud":"reports","exp":1e999}`),
  }
  for (const [what, token] of Object.entries(misshapen))
    it(`is refused with ${what}`, () => {
      assert.equal(
        reasonOf(() => validateJwtSvid(token, context())),
        'form',
      )
    })

  it('is refused by whoever has no name as an audience', () => {
    const token = bent({ claims: { ...claims, aud: [''] } })
    assert.equal(
      reasonOf(() => validateJwtSvid(token, context({ audience: '' }))),
      'aud',
    )
  })

  it('is refused where its trust domain has no keys for it', () => {
    assert.equal(
      reasonOf(() => validateJwtSvid(good, context({ authorities: () => [] }))),
      'key',
    )
  })

  it('is in no error that it causes', () => {
    for (const token of [good.slice(0, -4), `${good}x`, good.replace('.', '..')])
      assert.throws(
        () => validateJwtSvid(token, context()),
        (error: Error) => {
          const text = `${error.message} ${JSON.stringify(error)} ${String(error.cause)}`
          return !text.includes(good.slice(10, 40))
        },
      )
  })
})

describe('keys of jwt-svids', () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' })
  const p521 = generateKeyPairSync('ec', { namedCurve: 'P-521' })
  const kinds: Record<JwtAlgorithm, { publicKey: KeyObject; privateKey: KeyObject }> = {
    ES256: pair,
    ES384: p384,
    ES512: p521,
    RS256: rsa,
    RS384: rsa,
    RS512: rsa,
    PS256: rsa,
    PS384: rsa,
    PS512: rsa,
  }
  for (const [alg, { publicKey, privateKey }] of Object.entries(kinds))
    it(`verify ${alg}, also after a way through their jwk`, () => {
      const token = bent({ alg: alg as JwtAlgorithm, key: privateKey })
      const { kty, crv, x, y, n, e } = publicKey.export({ format: 'jwk' })
      const jwk = kty === 'RSA' ? { kty, n, e } : { kty, crv, x, y }
      const authorities = (): { kid: string; publicKey: KeyObject }[] => [
        { kid, publicKey: publicKeyOfJwk(jwk) },
      ]
      assert.equal(trustDomainOf(validateJwtSvid(token, context({ authorities })).id), 'td.test')
    })

  const jwk = ecJwkOf(pair.publicKey)
  const refused: Record<string, unknown> = {
    'a private key': pair.privateKey.export({ format: 'jwk' }),
    'a symmetric key': { kty: 'oct', k: 'AAAA' },
    'a point that is not on the curve': { ...jwk, x: jwk.y },
    'a short rsa key': generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({
      format: 'jwk',
    }),
    nothing: null,
  }
  for (const [what, value] of Object.entries(refused))
    it(`are not ${what}`, () => {
      assert.throws(() => publicKeyOfJwk(value), { code: 'ZT-422-SCHEMA' })
    })
})
