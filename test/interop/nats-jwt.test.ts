// Our codec against the NATS project's own libraries, in both directions. (That nats-server takes what we write is
// proved by every test that has a channel.)
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  decode,
  encodeAccount,
  encodeOperator,
  encodeUser,
  type Account,
  type Operator,
  type User,
} from '@nats-io/jwt'
import { createPair, fromPublic, fromSeed, type KeyPair } from '@nats-io/nkeys'
import {
  encodeAccountJwt,
  encodeOperatorJwt,
  encodeUserJwt,
  verifyAccountJwt,
  verifyOperatorJwt,
  verifyUserJwt,
} from '#shared/nats/claims.ts'
import { generateNkey, parseNkeyPublic, verifyNkeySignature, type NkeyKind } from '#shared/nats/nkeys.ts'

const PREFIX: Readonly<Record<NkeyKind, number>> = { operator: 14 << 3, account: 0, user: 20 << 3 }
const KINDS: readonly NkeyKind[] = ['operator', 'account', 'user']
const DATA = Buffer.from('nonce of a server')
const NAME = 'spiffe://mesh.example/node/n1'

const pair = (kind: NkeyKind): KeyPair => createPair(PREFIX[kind])
const nowS = (): number => Math.floor(Date.now() / 1000)

describe('nkeys', () => {
  for (const kind of KINDS) {
    it(`of the kind ${kind} are read and verified by the other side`, () => {
      const ours = generateNkey(kind)
      assert.ok(fromPublic(ours.publicKey).verify(DATA, ours.sign(DATA)))
      assert.ok(!fromPublic(ours.publicKey).verify(DATA, generateNkey(kind).sign(DATA)))
    })

    it(`of the kind ${kind} made by the other side are read and verified here`, () => {
      const theirs = pair(kind)
      assert.equal(parseNkeyPublic(theirs.getPublicKey(), kind, 'key'), theirs.getPublicKey())
      verifyNkeySignature(theirs.getPublicKey(), DATA, theirs.sign(DATA))
    })
  }

  it('of one seed are the same key, and sign the same', () => {
    const theirs = pair('user')
    const again = fromSeed(theirs.getSeed())
    assert.equal(again.getPublicKey(), theirs.getPublicKey())
    verifyNkeySignature(theirs.getPublicKey(), DATA, again.sign(DATA))
  })
})

describe('JWTs that we write are what the other side reads', () => {
  it('user', async () => {
    const [signer, account, user] = [generateNkey('account'), generateNkey('account'), generateNkey('user')]
    const text = encodeUserJwt(
      {
        publicKey: user.publicKey,
        name: NAME,
        account: account.publicKey,
        issuedAtS: nowS(),
        expiresS: nowS() + 300,
        permissions: { pub: ['zt.hub.>'], sub: [], allowResponses: { max: 1, ttlMs: 1_500 } },
      },
      signer,
    )
    const { nats, ...head } = decode<User>(text)
    assert.deepEqual([head.sub, head.iss, head.name], [user.publicKey, signer.publicKey, NAME])
    assert.equal(nats.issuer_account, account.publicKey)
    assert.deepEqual(nats.pub, { allow: ['zt.hub.>'] })
    assert.deepEqual(nats.sub, { deny: ['>'] })
    assert.deepEqual(nats.resp, { max: 1, ttl: 1_500_000_000 })
    assert.deepEqual(nats.allowed_connection_types, ['STANDARD'])
  })

  it('account', async () => {
    const [operator, account, signer] = [
      generateNkey('operator'),
      generateNkey('account'),
      generateNkey('account'),
    ]
    const { publicKey: gone } = generateNkey('user')
    const text = encodeAccountJwt(
      {
        publicKey: account.publicKey,
        name: 'mesh',
        issuedAtS: nowS(),
        signingKeys: [signer.publicKey],
        revocations: { [gone]: 7 },
      },
      operator,
    )
    const { nats, ...head } = decode<Account>(text)
    assert.deepEqual([head.sub, head.iss], [account.publicKey, operator.publicKey])
    assert.deepEqual(nats.signing_keys, [signer.publicKey])
    assert.deepEqual(nats.revocations, { [gone]: 7 })
  })

  it('operator', async () => {
    const [operator, signer, system] = [
      generateNkey('operator'),
      generateNkey('operator'),
      generateNkey('account'),
    ]
    const text = encodeOperatorJwt(
      {
        publicKey: operator.publicKey,
        name: 'ztmesh',
        issuedAtS: nowS(),
        signingKeys: [signer.publicKey],
        systemAccount: system.publicKey,
      },
      operator,
    )
    const { nats, ...head } = decode<Operator>(text)
    assert.deepEqual([head.sub, head.iss], [operator.publicKey, operator.publicKey])
    assert.deepEqual(nats.signing_keys, [signer.publicKey])
    assert.equal(nats.system_account, system.publicKey)
  })
})

describe('JWTs that the other side writes are read here', () => {
  it('user', async () => {
    const [account, signer, user] = [pair('account'), pair('account'), pair('user')]
    const exp = nowS() + 300
    const text = await encodeUser(
      NAME,
      user,
      account,
      {
        pub: { allow: ['zt.hub.>'] },
        sub: { deny: ['>'] },
        resp: { max: 2, ttl: 3_000_000 },
        allowed_connection_types: ['STANDARD'],
      } as Partial<User>,
      { signer, exp },
    )
    const claims = verifyUserJwt(text, signer.getPublicKey())
    assert.equal(claims.publicKey, user.getPublicKey())
    assert.equal(claims.account, account.getPublicKey())
    assert.equal(claims.expiresS, exp)
    assert.deepEqual(claims.permissions, {
      pub: ['zt.hub.>'],
      sub: [],
      allowResponses: { max: 2, ttlMs: 3 },
    })
    assert.throws(() => verifyUserJwt(text, account.getPublicKey()), { code: 'ZT-401-SIG' })
  })

  it('a user that may do everything is refused', async () => {
    const [account, user] = [pair('account'), pair('user')]
    const text = await encodeUser(NAME, user, account, {}, { exp: nowS() + 300 })
    assert.throws(() => verifyUserJwt(text, account.getPublicKey()), { code: 'ZT-422-SCHEMA' })
  })

  it('account', async () => {
    const [operator, account, signer, gone] = [
      pair('operator'),
      pair('account'),
      pair('account'),
      pair('user'),
    ]
    const text = await encodeAccount(
      'mesh',
      account,
      {
        limits: { subs: -1, data: -1, payload: -1, conn: -1, disallow_bearer: true },
        default_permissions: { pub: { deny: ['>'] }, sub: { deny: ['>'] } },
        signing_keys: [signer.getPublicKey()],
        revocations: { [gone.getPublicKey()]: 7 },
      } as Partial<Account>,
      { signer: operator },
    )
    const claims = verifyAccountJwt(text, operator.getPublicKey())
    assert.equal(claims.publicKey, account.getPublicKey())
    assert.deepEqual({ ...claims.revocations }, { [gone.getPublicKey()]: 7 })
  })

  it('operator', async () => {
    const [operator, signer, system] = [pair('operator'), pair('operator'), pair('account')]
    const text = await encodeOperator('ztmesh', operator, {
      signing_keys: [signer.getPublicKey()],
      system_account: system.getPublicKey(),
      strict_signing_key_usage: true,
    } as Partial<Operator>)
    const claims = verifyOperatorJwt(text, operator.getPublicKey())
    assert.deepEqual(claims.signingKeys, [signer.getPublicKey()])
    assert.equal(claims.systemAccount, system.getPublicKey())
  })
})
