import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  encodeAccountJwt,
  encodeOperatorJwt,
  encodeUserJwt,
  verifyAccountJwt,
  verifyOperatorJwt,
  verifyUserJwt,
  type UserClaims,
} from '#shared/nats/claims.ts'
import { signNatsJwt } from '#shared/nats/jwt.ts'
import { generateNkey } from '#shared/nats/nkeys.ts'

const signer = generateNkey('account')
const stranger = generateNkey('account')
const operator = generateNkey('operator')

const user: UserClaims = {
  publicKey: generateNkey('user').publicKey,
  name: 'spiffe://mesh.example/node/n1',
  account: generateNkey('account').publicKey,
  issuedAtS: 1_000,
  expiresS: 1_300,
  permissions: { pub: ['zt.hub.>'], sub: ['zt.node.n1.cmd'], allowResponses: { max: 1, ttlMs: 2_000 } },
}

type Json = Record<string, unknown>

/** What encodeUserJwt() makes, as JSON. */
function body(): { head: Json; nats: Json } {
  const { nats, ...head } = JSON.parse(atob(encodeUserJwt(user, signer).split('.')[1]!)) as Json & {
    nats: Json
  }
  return { head, nats }
}

/** A user JWT with changes, signed again by its rightful signer. */
function forged(change: { head?: Json; nats?: Json }): string {
  const { head, nats } = body()
  const { sub, name, iat, exp, ...rest } = { ...head, ...change.head } as never as {
    sub: string
    name: string
    iat: number
    exp: number
  }
  delete (rest as Json)['iss']
  delete (rest as Json)['jti']
  return signNatsJwt({ sub, name, iat, exp, ...rest }, { ...nats, ...change.nats }, signer)
}

describe('a user JWT', () => {
  it('says what was put in', () => {
    assert.deepEqual(verifyUserJwt(encodeUserJwt(user, signer), signer.publicKey), user)
  })

  it('permits nothing where nothing is listed', () => {
    const claims = { ...user, permissions: { pub: [], sub: [] } }
    const text = encodeUserJwt(claims, signer)
    assert.deepEqual(verifyUserJwt(text, signer.publicKey).permissions, { pub: [], sub: [] })
    const { nats } = JSON.parse(atob(text.split('.')[1]!)) as { nats: Json }
    // In NATS, no list is every subject.
    assert.deepEqual([nats['pub'], nats['sub']], [{ deny: ['>'] }, { deny: ['>'] }])
  })

  it('is frozen', () => {
    const claims = verifyUserJwt(encodeUserJwt(user, signer), signer.publicKey)
    assert.ok(Object.isFrozen(claims) && Object.isFrozen(claims.permissions))
  })

  const subjects: Record<string, string> = {
    'with a space, which would name a queue': 'zt.a queue',
    'with > inside': 'zt.>.a',
    'with a partial wildcard': 'zt.a*',
    'with an empty token': 'zt..a',
    'with a leading dot': '.zt',
    'with a trailing dot': 'zt.',
    'with a newline': 'zt.a\n',
    'with a template': 'zt.{{name()}}',
    'that is empty': '',
    'that is long': `zt.${'a'.repeat(255)}`,
  }
  for (const [what, subject] of Object.entries(subjects)) {
    it(`is not made with a subject ${what}`, () => {
      for (const permissions of [
        { pub: [subject], sub: [] },
        { pub: [], sub: [subject] },
      ]) {
        assert.throws(() => encodeUserJwt({ ...user, permissions }, signer), { code: 'ZT-422-SCHEMA' })
      }
    })
  }

  const widened: Record<string, { head?: Json; nats?: Json }> = {
    'that is a bearer token': { nats: { bearer_token: true } },
    'for other connection types': { nats: { allowed_connection_types: ['STANDARD', 'WEBSOCKET'] } },
    'for every connection type': { nats: { allowed_connection_types: [] } },
    'without a list to publish': { nats: { pub: {} } },
    'without a list to subscribe': { nats: { sub: {} } },
    'with an empty list, which NATS reads as all': { nats: { pub: { allow: [] } } },
    'that refuses something and so permits the rest': { nats: { pub: { deny: ['zt.a'] } } },
    'with both lists': { nats: { pub: { allow: ['zt.a'], deny: ['>'] } } },
    'with any number of answers': { nats: { resp: { max: -1, ttl: 1_000_000 } } },
    'without an account': { nats: { issuer_account: '' } },
    'with a field that is not known': { nats: { src: ['0.0.0.0/0'] } },
    'with a field beside': { head: { aud: 'x' } },
    'without an end': { head: { exp: undefined } },
    'whose end is no whole second': { head: { exp: 1.5 } },
    'whose end is negative': { head: { exp: -1 } },
    'whose subject is an account': { head: { sub: stranger.publicKey } },
    'without a name': { head: { name: '' } },
    'of another type': { nats: { type: 'account' } },
    'of version 1': { nats: { version: 1 } },
    'of version 3': { nats: { version: 3 } },
  }
  for (const [what, change] of Object.entries(widened)) {
    it(`${what} is refused although its signature holds`, () => {
      assert.throws(() => verifyUserJwt(forged(change), signer.publicKey), { code: 'ZT-422-SCHEMA' })
    })
  }

  it('forged by the same means without a change is accepted', () => {
    assert.deepEqual(verifyUserJwt(forged({}), signer.publicKey), user)
  })

  it('of another signer is refused', () => {
    const text = encodeUserJwt(user, stranger)
    assert.throws(() => verifyUserJwt(text, signer.publicKey), { code: 'ZT-401-SIG' })
  })

  it('that names another issuer than its signer is refused', () => {
    const posed = { ...signer, publicKey: stranger.publicKey }
    const text = encodeUserJwt(user, posed)
    assert.throws(() => verifyUserJwt(text, signer.publicKey), { code: 'ZT-422-SCHEMA' })
  })

  it('signed by a user or an operator key is refused', () => {
    for (const kind of ['user', 'operator'] as const) {
      const key = generateNkey(kind)
      const text = encodeUserJwt(user, key)
      assert.throws(() => verifyUserJwt(text, key.publicKey), { code: 'ZT-422-SCHEMA' })
    }
  })

  const text = encodeUserJwt(user, signer)
  const [header = '', claims = '', signature = ''] = text.split('.')
  const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const broken: Record<string, { text: string; code: string }> = {
    'that is empty': { text: '', code: 'ZT-400-MALFORMED' },
    'of two parts': { text: `${header}.${claims}`, code: 'ZT-400-MALFORMED' },
    'of four parts': { text: `${text}.${signature}`, code: 'ZT-400-MALFORMED' },
    'with padding': { text: `${header}=.${claims}.${signature}`, code: 'ZT-400-MALFORMED' },
    'with a newline': { text: `${text}\n`, code: 'ZT-400-MALFORMED' },
    'that says alg none': {
      text: `${encode({ typ: 'JWT', alg: 'none' })}.${claims}.`,
      code: 'ZT-400-MALFORMED',
    },
    'with the header of version 1': {
      text: `${encode({ typ: 'jwt', alg: 'ed25519' })}.${claims}.${signature}`,
      code: 'ZT-400-MALFORMED',
    },
    'with one more header field': {
      text: `${encode({ typ: 'JWT', alg: 'ed25519-nkey', kid: 'x' })}.${claims}.${signature}`,
      code: 'ZT-400-MALFORMED',
    },
    'without a signature': { text: `${header}.${claims}.`, code: 'ZT-401-SIG' },
    'with changed claims': { text: `${header}.${encode({ sub: 'x' })}.${signature}`, code: 'ZT-401-SIG' },
    'over the limit': { text: `${header}.${'A'.repeat(1024 * 1024)}.${signature}`, code: 'ZT-413-SIZE' },
  }
  for (const [what, { text: bad, code }] of Object.entries(broken)) {
    it(`${what} is refused`, () => {
      assert.throws(() => verifyUserJwt(bad, signer.publicKey), { code })
    })
  }
})

describe('an account JWT', () => {
  const account = {
    publicKey: generateNkey('account').publicKey,
    name: 'mesh',
    issuedAtS: 1_000,
    signingKeys: [signer.publicKey],
    revocations: { [user.publicKey]: 999 },
  }

  it('says what was put in', () => {
    const text = encodeAccountJwt(account, operator)
    const { revocations, ...rest } = verifyAccountJwt(text, operator.publicKey)
    assert.deepEqual({ ...rest, revocations: { ...revocations } }, account)
  })

  it('is not accepted from an account key, nor for a user', () => {
    assert.throws(() => verifyAccountJwt(encodeAccountJwt(account, signer), signer.publicKey), {
      code: 'ZT-422-SCHEMA',
    })
    assert.throws(() => verifyUserJwt(encodeAccountJwt(account, operator), operator.publicKey), {
      code: 'ZT-422-SCHEMA',
    })
  })

  it('is not accepted with a signing key of another kind, or a revocation of everybody', () => {
    for (const change of [
      { signingKeys: [user.publicKey] },
      { signingKeys: [] },
      { revocations: { '*': 1 } },
    ]) {
      const text = encodeAccountJwt({ ...account, ...change }, operator)
      assert.throws(() => verifyAccountJwt(text, operator.publicKey), { code: 'ZT-422-SCHEMA' })
    }
  })
})

describe('an operator JWT', () => {
  const claims = {
    publicKey: operator.publicKey,
    name: 'ztmesh',
    issuedAtS: 1_000,
    signingKeys: [generateNkey('operator').publicKey],
    systemAccount: stranger.publicKey,
  }

  it('says what was put in', () => {
    assert.deepEqual(verifyOperatorJwt(encodeOperatorJwt(claims, operator), operator.publicKey), claims)
  })

  it('of another operator than its subject is refused', () => {
    const other = generateNkey('operator')
    assert.throws(() => verifyOperatorJwt(encodeOperatorJwt(claims, other), other.publicKey), {
      code: 'ZT-422-SCHEMA',
    })
  })
})
