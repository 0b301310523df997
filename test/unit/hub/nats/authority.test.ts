// What the authority signs, what it refuses to sign, and that a revocation is durable before it is told.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { verifyAccountJwt, verifyOperatorJwt, verifyUserJwt } from '#shared/nats/claims.ts'
import { generateNkey } from '#shared/nats/nkeys.ts'
import { permissionsFor } from '#shared/protocol/subjects.ts'
import { openNatsAuthority, type NatsAuthority } from '#hub/nats/authority.ts'
import { decodeState, type AuthorityState } from '#hub/nats/state.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { MemoryStore } from '#test/support/nats.ts'

const NODE = parseSpiffeId('spiffe://mesh.example/node/n1')
const MINUTE = 60_000

interface Opened {
  readonly clock: ManualClock
  readonly store: MemoryStore
  readonly authority: NatsAuthority
  /** what is sealed now */
  readonly state: () => AuthorityState
}

async function open(): Promise<Opened> {
  const [clock, store] = [new ManualClock(), new MemoryStore()]
  const authority = await openNatsAuthority({ clock, store })
  return { clock, store, authority, state: () => decodeState(store.bytes ?? new Uint8Array()) }
}

const user = (): string => generateNkey('user').publicKey

describe('a user JWT', () => {
  it('has the subjects of its SPIFFE ID, its key and its end', async () => {
    const { authority, clock, state } = await open()
    const [publicKey, expires] = [user(), clock.now() + 5 * MINUTE + 999]
    const { account } = state().keys
    const claims = verifyUserJwt(
      authority.userJwt({ id: NODE, publicKey, expires }),
      account.signer.publicKey,
    )
    assert.deepEqual(claims, {
      publicKey,
      name: NODE,
      account: account.publicKey,
      issuedAtS: clock.now() / 1000,
      expiresS: Math.floor(expires / 1000),
      permissions: permissionsFor(NODE),
    })
  })

  const ends: Record<string, number> = {
    'is over': -1,
    'is now': 0,
    'is more than ten minutes away': 10 * MINUTE + 1,
    'is never': Number.POSITIVE_INFINITY,
    'is no number': Number.NaN,
  }
  for (const [what, leftMs] of Object.entries(ends)) {
    it(`is not made if its end ${what}`, async () => {
      const { authority, clock } = await open()
      const request = { id: NODE, publicKey: user(), expires: clock.now() + leftMs }
      assert.throws(() => authority.userJwt(request), { code: 'ZT-408-STALE' })
    })
  }

  it('is not made for a key of another kind', async () => {
    const { authority, clock } = await open()
    const { publicKey } = generateNkey('account')
    const request = { id: NODE, publicKey, expires: clock.now() + MINUTE }
    assert.throws(() => authority.userJwt(request), { code: 'ZT-422-SCHEMA' })
  })

  for (const path of ['/nats/h1', '/printer/p1', '/node/n1/more']) {
    it(`is not made for ${path}`, async () => {
      const { authority, clock } = await open()
      const id = parseSpiffeId(`spiffe://mesh.example${path}`)
      const request = { id, publicKey: user(), expires: clock.now() + MINUTE }
      assert.throws(() => authority.userJwt(request), { code: 'ZT-422-SPIFFE-ID' })
    })
  }

  it('of the system account can update one account, and nothing else', async () => {
    const { authority, clock, state } = await open()
    const { account, system } = state().keys
    const id = parseSpiffeId('spiffe://mesh.example/hub/h1')
    const jwt = authority.systemUserJwt({ id, publicKey: user(), expires: clock.now() + MINUTE })
    const claims = verifyUserJwt(jwt, system.signer.publicKey)
    assert.equal(claims.account, system.publicKey)
    assert.deepEqual(claims.permissions.pub, [`$SYS.REQ.ACCOUNT.${account.publicKey}.CLAIMS.UPDATE`])
    assert.equal(claims.permissions.sub.length, 1)
    assert.throws(() => verifyUserJwt(jwt, account.signer.publicKey), { code: 'ZT-401-SIG' })
  })
})

describe('the keys', () => {
  it('are the same after a restart', async () => {
    const { authority, clock, store } = await open()
    const again = await openNatsAuthority({ clock, store })
    assert.deepEqual(again.accounts(), authority.accounts())
  })

  it('of operator and accounts are not kept: only their signing keys', async () => {
    const { authority, state } = await open()
    const { operatorJwt, operator, account, system } = state().keys
    const claims = verifyOperatorJwt(operatorJwt, JSON.parse(atob(operatorJwt.split('.')[1]!)).iss)
    assert.deepEqual(claims.signingKeys, [operator.publicKey])
    assert.equal(claims.systemAccount, system.publicKey)
    assert.notEqual(claims.publicKey, operator.publicKey)
    assert.notEqual(account.publicKey, account.signer.publicKey)
    assert.equal(authority.accounts().systemAccount, system.publicKey)
  })

  it('of another state are refused', async () => {
    const { clock } = await open()
    for (const bytes of ['', '{}', '[]', '{"v":2}']) {
      const store = new MemoryStore()
      store.bytes = Buffer.from(bytes)
      await assert.rejects(openNatsAuthority({ clock, store }), { code: 'ZT-422-SCHEMA' })
    }
  })

  it('that cannot be saved are not used', async () => {
    const { clock } = await open()
    const store = new MemoryStore()
    store.full = true
    await assert.rejects(openNatsAuthority({ clock, store }), { message: 'disk full' })
  })
})

describe('a revocation', () => {
  const revocations = ({ authority, state }: Opened): Readonly<Record<string, number>> => {
    const { operator, account } = state().keys
    return verifyAccountJwt(authority.accounts().accounts[account.publicKey] ?? '', operator.publicKey)
      .revocations
  }

  it('is sealed, is in the account, and is what the servers must be told', async () => {
    const opened = await open()
    const { authority, clock, state } = opened
    const key = user()
    const update = await authority.revoke([key])
    const second = Math.floor(clock.now() / 1000)
    assert.deepEqual({ ...revocations(opened) }, { [key]: second })
    assert.deepEqual([...state().revoked], [[key, second]])
    assert.equal(update.account, state().keys.account.publicKey)
    assert.equal(update.jwt, authority.accounts().accounts[update.account])
  })

  it('stands after a restart', async () => {
    const opened = await open()
    const key = user()
    await opened.authority.revoke([key])
    const authority = await openNatsAuthority(opened)
    assert.deepEqual(Object.keys(revocations({ ...opened, authority })), [key])
  })

  it('is forgotten when no token that it concerns can live any more, and not before', async () => {
    const opened = await open()
    const { authority, clock } = opened
    const [first, second, third] = [user(), user(), user()]
    await authority.revoke([first])
    clock.advance(10 * MINUTE)
    await authority.revoke([second])
    assert.deepEqual(new Set(Object.keys(revocations(opened))), new Set([first, second]))
    clock.advance(10_000)
    await authority.revoke([third])
    assert.deepEqual(new Set(Object.keys(revocations(opened))), new Set([second, third]))
  })

  it('of many at the same time loses none', async () => {
    const opened = await open()
    const keys = Array.from({ length: 20 }, user)
    const updates = await Promise.all(keys.map((key) => opened.authority.revoke([key])))
    assert.deepEqual(new Set(Object.keys(revocations(opened))), new Set(keys))
    assert.equal(new Set(updates.map(({ jwt }) => jwt)).size, 20)
  })

  it('that cannot be saved is not in force, and the next one is', async () => {
    const opened = await open()
    const [lost, kept] = [user(), user()]
    opened.store.full = true
    await assert.rejects(opened.authority.revoke([lost]), { message: 'disk full' })
    assert.deepEqual({ ...revocations(opened) }, {})
    opened.store.full = false
    await opened.authority.revoke([kept])
    assert.deepEqual(Object.keys(revocations(opened)), [kept])
  })

  it('of more than 8,000 keys within ten minutes is refused', async () => {
    const { authority } = await open()
    const key = user()
    const many = Array.from({ length: 8_000 }, user)
    await authority.revoke(many)
    await assert.rejects(authority.revoke([key]), { code: 'ZT-413-SIZE' })
    const { jwt } = await authority.revoke([many[0]!])
    assert.ok(jwt.length < 1024 * 1024)
  })
})
