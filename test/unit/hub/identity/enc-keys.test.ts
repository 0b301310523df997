// The keys that requests are sealed to: new every hour, taken for a while longer, and known again after a restart.
import assert from 'node:assert/strict'
import { createPublicKey } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, before, beforeEach, describe, it } from 'node:test'
import { HubEncKeys } from '#hub/identity/enc-keys.ts'
import { createSqliteStore, openSqliteStore } from '#hub/store/sqlite.ts'
import type { HubStore } from '#hub/store/store.ts'
import { createSealSecret, Seal } from '#pki/keystore/seal.ts'
import type { Identity } from '#shared/identity/identity.ts'
import { x25519Raw } from '#shared/jose/keys.ts'
import { openEncKey, type EncKey } from '#shared/protocol/enc-key.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { createTestAuthority, TEST_NOW, type TestAuthority } from '#test/support/test-authority.ts'

const HOUR = 3_600_000

describe('the encryption keys of the hub', () => {
  let authority: TestAuthority
  let identity: Identity
  let dir: string
  let store: HubStore
  let seal: Seal
  let clock: ManualClock
  before(async () => {
    authority = await createTestAuthority()
  })
  beforeEach(async () => {
    identity = await authority.identity('/hub/h1', { notAfter: TEST_NOW + 10 * HOUR })
    dir = mkdtempSync(join(tmpdir(), 'zt-enc-'))
    createSqliteStore(join(dir, 'hub.db'))
    store = openSqliteStore(join(dir, 'hub.db'))
    await createSealSecret(join(dir, 'seal.key'))
    ;({ seal } = await Seal.create(join(dir, 'seal.key')))
    clock = new ManualClock(TEST_NOW)
  })
  afterEach(async () => {
    await store.close()
    rmSync(dir, { recursive: true })
  })
  const open = (): Promise<HubEncKeys> =>
    HubEncKeys.open({ store: store.encKeys, seal, clock, identity: () => identity })
  const said = (keys: HubEncKeys): EncKey =>
    openEncKey(keys.statement(), { trust: authority.validator(), now: clock.now(), owner: identity.id })

  it('are vouched for by the identity of the hub, and are the ones that it holds', async () => {
    const keys = await open()
    const { kid, publicKey } = said(keys)
    const held = keys.find(kid)
    assert.ok(held !== undefined)
    assert.deepEqual(x25519Raw(createPublicKey(held)), publicKey)
  })

  it('are known again after a restart', async () => {
    const { kid } = said(await open())
    const again = await open()
    assert.ok(again.find(kid) !== undefined)
    assert.equal(said(again).kid, kid)
  })

  it('are new after an hour, and the one before is taken for a quarter of an hour', async () => {
    const keys = await open()
    const old = said(keys).kid
    clock.advance(HOUR)
    await keys.rotate()
    assert.notEqual(said(keys).kid, old)
    assert.ok(keys.find(old) !== undefined)
    clock.advance(HOUR / 4)
    assert.equal(keys.find(old), undefined)
  })

  it('are not made more often than that', async () => {
    const keys = await open()
    const { kid } = said(keys)
    clock.advance(HOUR - 1)
    await keys.rotate()
    assert.equal(said(keys).kid, kid)
  })

  it('are not found by an id that the hub never said', async () => {
    assert.equal((await open()).find('A'.repeat(22)), undefined)
  })

  it('do not open under another sealing secret', async () => {
    await open()
    await createSealSecret(join(dir, 'other.key'))
    const { seal: other } = await Seal.create(join(dir, 'other.key'))
    const parts = { store: store.encKeys, seal: other, clock, identity: () => identity }
    await assert.rejects(HubEncKeys.open(parts), { code: 'ZT-500-KEYSTORE' })
  })

  it('do not open in each other’s place', async () => {
    await open()
    const [row] = await store.encKeys.list(clock.now())
    await store.encKeys.add({
      kid: 'B'.repeat(22),
      sealed: row?.sealed ?? new Uint8Array(),
      notAfter: TEST_NOW + HOUR,
    })
    await assert.rejects(open(), { code: 'ZT-500-KEYSTORE' })
  })
})
