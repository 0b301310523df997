import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { JwtAuthority } from '#hub/jwt/jwt-authority.ts'
import type { HubStore } from '#hub/store/store.ts'
import { createSqliteStore, openSqliteStore } from '#hub/store/sqlite.ts'
import { createSealSecret, Seal } from '#pki/keystore/seal.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { publicKeyOfJwk } from '#shared/spiffe/jwt-keys.ts'
import { validateJwtSvid } from '#shared/spiffe/jwt-svid.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { RowLog } from '#test/fakes/row-log.ts'
import { tempDir } from '#test/support/temp-dir.ts'

const HOUR = 3_600_000
const sub = parseSpiffeId('spiffe://td.test/agent/reports/task/p-aaaaaaaaaaaaaaaaaaaa')

interface Place {
  readonly clock: ManualClock
  readonly rows: RowLog
  readonly store: HubStore
  readonly open: () => Promise<JwtAuthority>
}

async function place(t: TestContext): Promise<Place> {
  const dir = await tempDir(t)
  createSqliteStore(join(dir, 'hub.db'))
  const store = openSqliteStore(join(dir, 'hub.db'))
  t.after(() => store.close())
  await createSealSecret(join(dir, 'secret'))
  const { seal } = await Seal.create(join(dir, 'secret'))
  const [clock, rows] = [new ManualClock(), new RowLog()]
  return {
    clock,
    rows,
    store,
    open: () => JwtAuthority.open({ store: store.jwtKeys, seal, clock, rows }),
  }
}

const tokenOf = (
  authority: JwtAuthority,
  clock: ManualClock,
): { readonly token: string; readonly kid: string } => {
  const iat = Math.floor(clock.now() / 1000)
  return authority.sign({ sub, aud: ['db'], iat, exp: iat + 60, jti: 'one' })
}

const kidsOf = (authority: JwtAuthority): string[] => authority.authorities().map(({ kid }) => kid)

describe('the authority of jwt-svids', () => {
  it('shows the key that its tokens verify with', async (t) => {
    const { clock, open } = await place(t)
    const authority = await open()
    const keys = authority.authorities().map(({ kid, jwk }) => ({ kid, publicKey: publicKeyOfJwk(jwk) }))
    const { token } = tokenOf(authority, clock)
    const verified = validateJwtSvid(token, { audience: 'db', now: clock.now(), authorities: () => keys })
    assert.equal(verified.id, sub)
  })

  it('has the same key after a start, and makes none', async (t) => {
    const { rows, open } = await place(t)
    const before = kidsOf(await open())
    assert.deepEqual(kidsOf(await open()), before)
    assert.deepEqual(rows.types, ['jwt.key_made'])
  })

  it('shows the next key two hours before it signs with it', async (t) => {
    const { clock, open } = await place(t)
    const authority = await open()
    const first = tokenOf(authority, clock).kid
    clock.advance(22 * HOUR)
    await authority.rotate()
    assert.equal(authority.authorities().length, 2)
    clock.advance(2 * HOUR - 1)
    await authority.rotate()
    assert.equal(tokenOf(authority, clock).kid, first)
    clock.advance(1)
    assert.notEqual(tokenOf(authority, clock).kid, first)
  })

  it('shows a key until the last token of it has ended', async (t) => {
    const { clock, open } = await place(t)
    const authority = await open()
    const first = tokenOf(authority, clock).kid
    clock.advance(22 * HOUR)
    await authority.rotate()
    clock.advance(2 * HOUR + 60_000)
    await authority.rotate()
    assert.ok(kidsOf(authority).includes(first))
    clock.advance(60_000)
    await authority.rotate()
    assert.ok(!kidsOf(authority).includes(first))
    assert.ok(!kidsOf(await open()).includes(first))
  })

  it('of a hub that slept for a week signs with the old key until the new one has been shown', async (t) => {
    const { clock, open } = await place(t)
    const first = tokenOf(await open(), clock).kid
    clock.advance(7 * 24 * HOUR)
    const authority = await open()
    assert.equal(tokenOf(authority, clock).kid, first)
    clock.advance(2 * HOUR)
    assert.notEqual(tokenOf(authority, clock).kid, first)
  })

  it('makes no key that it cannot write down', async (t) => {
    const { rows, store, open } = await place(t)
    rows.full = true
    await assert.rejects(open(), { code: 'ZT-503-AUDIT' })
    assert.deepEqual(await store.jwtKeys.list(), [])
  })

  it('keeps no key in the clear', async (t) => {
    const { store, open } = await place(t)
    await open()
    const [kept] = await store.jwtKeys.list()
    const text = Buffer.from(kept?.sealed ?? []).toString('latin1')
    assert.ok(!text.includes('"d"') && !text.includes('BEGIN') && text.includes('"box"'))
  })
})
