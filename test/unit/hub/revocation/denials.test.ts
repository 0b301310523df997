// The deny list in force, as it was stored, whatever happens in between.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, before, beforeEach, describe, it } from 'node:test'
import { Denials, type Denial, type Target } from '#hub/revocation/denials.ts'
import { createSqliteStore, openSqliteStore } from '#hub/store/sqlite.ts'
import type { HubStore } from '#hub/store/store.ts'
import type { Identity } from '#shared/identity/identity.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { isOpen, openDenyList } from '#shared/protocol/deny-list.ts'
import { Quarantine } from '#shared/protocol/quarantine.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { noRow } from '#test/fakes/row-log.ts'
import { createTestAuthority, TEST_NOW, type TestAuthority } from '#test/support/test-authority.ts'

const bob = parseSpiffeId('spiffe://mesh.example/operator/bob')
const eve = parseSpiffeId('spiffe://mesh.example/operator/eve')

/** Versions are not below the time, in seconds. */
const FIRST = TEST_NOW / 1000
const idOf = (id: typeof bob): Target => ({ kind: 'id', value: id })
const of = (id: typeof bob, reason: string): Denial => ({ ...idOf(id), reason })

describe('the deny list of the hub', () => {
  let authority: TestAuthority
  let identity: Identity
  let dir: string
  let store: HubStore
  let clock: ManualClock
  before(async () => {
    authority = await createTestAuthority()
  })
  beforeEach(async () => {
    identity = await authority.identity('/hub/h1')
    dir = mkdtempSync(join(tmpdir(), 'zt-denials-'))
    createSqliteStore(join(dir, 'hub.db'))
    store = openSqliteStore(join(dir, 'hub.db'))
    clock = new ManualClock(TEST_NOW)
  })
  afterEach(async () => {
    await store.close()
    rmSync(dir, { recursive: true })
  })
  const open = (): Promise<Denials> => Denials.open({ store: store.denials, clock, identity: () => identity })
  const svid = (id: typeof bob): { id: typeof bob; thumbprint: string } => ({ id, thumbprint: 'x' })

  it('denies from the moment at which it is stored, and after every start', async () => {
    const denials = await open()
    assert.equal((await denials.deny(of(bob, 'lost'), noRow)).ver, FIRST)
    assert.throws(() => denials.list.check(svid(bob)), { code: 'ZT-403-REVOKED' })
    const next = await open()
    assert.throws(() => next.list.check(svid(bob)), { code: 'ZT-403-REVOKED' })
    next.list.check(svid(eve))
  })

  it('says since when', async () => {
    const denials = await open()
    await denials.deny(of(bob, 'lost'), noRow)
    assert.equal(denials.since(bob), TEST_NOW)
    assert.equal(denials.since(eve), undefined)
  })

  it('is the same list when somebody is denied twice', async () => {
    const denials = await open()
    await denials.deny(of(bob, 'lost'), noRow)
    assert.equal((await denials.deny(of(bob, 'again'), noRow)).ver, FIRST)
    assert.equal(denials.entries.length, 1)
  })

  it('loses nobody when many are denied at once', async () => {
    const denials = await open()
    const ids = Array.from({ length: 30 }, (_, i) => parseSpiffeId(`spiffe://mesh.example/operator/o${i}`))
    await Promise.all(ids.map((id) => denials.deny(of(id, 'x'), noRow)))
    assert.equal(denials.version, FIRST + 29)
    for (const id of ids) assert.throws(() => denials.list.check(svid(id)), { code: 'ZT-403-REVOKED' })
  })

  it('says the beginning of a long reason to the nodes', async () => {
    const denials = await open()
    await denials.deny(of(bob, '\u{1f511}'.repeat(200)), noRow)
    const document = openDenyList(denials.signed(), { trust: authority.validator(), now: TEST_NOW })
    assert.equal(document.entries[0]?.reason, '\u{1f511}'.repeat(64))
  })

  it('refuses the entry that it could not be signed with, before its row, and stays as it is', async () => {
    const fill = Array.from({ length: 2400 }, (_, i) => ({
      kind: 'id' as const,
      value: `spiffe://mesh.example/operator/o${i}`,
      from: 1,
      reason: '',
    }))
    await store.denials.replace(0, { ver: 1, entries: fill })
    const denials = await open()
    let rows = 0
    const counted: typeof noRow = () => {
      rows += 1
      return noRow()
    }
    const more = async (): Promise<void> => {
      for (let i = 0; i < 400; i += 1)
        await denials.deny(
          of(parseSpiffeId(`spiffe://mesh.example/operator/p${i}`), 'lost'.repeat(99)),
          counted,
        )
    }
    await assert.rejects(more(), { code: 'ZT-413-SIZE' })
    assert.deepEqual([rows, denials.entries.length], [denials.version - FIRST + 1, fill.length + rows])
    const document = openDenyList(denials.signed(), { trust: authority.validator(), now: TEST_NOW })
    assert.equal(document.entries.length, denials.entries.length)
    denials.list.check(svid(parseSpiffeId(`spiffe://mesh.example/operator/p${rows}`)))
  })

  it('goes up in version when somebody is taken off', async () => {
    const denials = await open()
    await denials.deny(of(bob, 'lost'), noRow)
    assert.equal((await denials.lift(idOf(bob), noRow)).ver, FIRST + 1)
    denials.list.check(svid(bob))
    assert.equal((await denials.lift(idOf(bob), noRow)).ver, FIRST + 1)
  })

  it('is newer than any before, also when the store was set back', async () => {
    const denials = await open()
    await denials.deny(of(bob, 'lost'), noRow)
    const held = openDenyList(denials.signed(), { trust: authority.validator(), now: TEST_NOW })
    await store.denials.replace(held.ver, { ver: held.ver + 1, entries: [] })
    clock.advance(60_000)
    createSqliteStore(join(dir, 'older.db'))
    const older = openSqliteStore(join(dir, 'older.db'))
    const restored = await Denials.open({ store: older.denials, clock, identity: () => identity })
    assert.ok((await restored.deny(of(eve, 'lost'), noRow)).ver > held.ver + 1)
    await older.close()
  })

  it('is signed by the identity of the moment, and opened by whoever trusts the root', async () => {
    const denials = await open()
    await denials.deny(of(bob, 'lost'), noRow)
    const first = denials.signed()
    assert.equal(denials.signed(), first)
    identity = await authority.identity('/hub/h1')
    assert.notEqual(denials.signed(), first)
    const document = openDenyList(denials.signed(), { trust: authority.validator(), now: TEST_NOW })
    assert.deepEqual([document.ver, document.entries[0]?.value], [FIRST, bob])
  })

  it('does not change in memory when it cannot be stored', async () => {
    const denials = await open()
    const failing = {
      ...store.denials,
      read: () => store.denials.read(),
      replace: () => Promise.reject(new Error('full')),
    }
    const broken = await Denials.open({ store: failing, clock, identity: () => identity })
    await assert.rejects(broken.deny(of(bob, 'lost'), noRow))
    broken.list.check(svid(bob))
    denials.list.check(svid(bob))
  })

  it('denies nobody any more who is lifted, and knows whose data is suspect until when', async () => {
    const denials = await open()
    await denials.deny(of(bob, 'lost'), noRow)
    clock.advance(60_000)
    await denials.lift(idOf(bob), noRow)
    const [entry] = (await open()).entries
    assert.deepEqual(entry, { ...of(bob, 'lost'), from: TEST_NOW / 1000, until: TEST_NOW / 1000 + 60 })
    assert.equal(denials.since(bob), undefined)
    await denials.deny(of(bob, 'again'), noRow)
    assert.throws(() => denials.list.check(svid(bob)), { code: 'ZT-403-REVOKED' })
    assert.equal(denials.since(bob), TEST_NOW + 60_000)
  })

  it('keeps no more than five entries of one identity, and forgets no suspect time', async () => {
    const denials = await open()
    for (let turn = 0; turn < 20; turn += 1) {
      await denials.deny(of(bob, 'lost'), noRow)
      clock.advance(60_000)
      await denials.lift(idOf(bob), noRow)
      clock.advance(60_000)
    }
    await denials.deny(of(bob, 'lost'), noRow)
    assert.equal(denials.entries.length, 5)
    const suspect = new Quarantine(denials.entries)
    for (let turn = 0; turn < 20; turn += 1) {
      const began = TEST_NOW + turn * 120_000
      assert.ok(suspect.of({ id: bob, began, ended: began }), `turn ${turn}`)
    }
  })

  it('can always be lifted, however full', async () => {
    const denials = await open()
    // Long ones: the fewer it takes to fill the list, the sooner it is full.
    const long = `spiffe://mesh.example/operator/${'o'.repeat(1900)}`
    const ids = Array.from({ length: 5000 }, (_, i) => parseSpiffeId(`${long}${i}`))
    const filling = async (): Promise<void> => {
      for (const id of ids) await denials.deny(of(id, 'lost'), noRow)
    }
    await assert.rejects(filling(), { code: 'ZT-413-SIZE' })
    const denied = denials.entries.map(({ value }) => parseSpiffeId(value))
    for (const id of denied) {
      await denials.deny({ ...of(id, 'lost'), since: 1 }, noRow)
      await denials.lift(idOf(id), noRow)
    }
    const text = denials.signed()
    const { entries } = openDenyList(text, { trust: authority.validator(), now: TEST_NOW })
    assert.deepEqual([entries.length, entries.some(isOpen)], [denied.length, false])
  })

  describe('what can have no effect any more', () => {
    const certificate = {
      kind: 'thumbprint',
      value: 'Q'.repeat(43),
      id: bob,
      exp: TEST_NOW / 1000 + 300,
    } as const

    it('is a certificate that has ended: it is closed, and what was done with it stays suspect', async () => {
      const denials = await open()
      await denials.deny({ ...certificate, reason: 'copied' }, noRow)
      clock.advance(360_000)
      assert.equal(await denials.tidy(noRow), undefined)
      clock.advance(1000)
      assert.equal((await denials.tidy(noRow))?.ver, FIRST + 361)
      assert.equal(denials.entries[0]?.until, certificate.exp + 60)
      const deed = { id: bob, thumbprint: certificate.value, began: TEST_NOW + 1000 }
      assert.ok(new Quarantine(denials.entries).of(deed))
    })

    it('is an entry that was closed 400 days ago, and never one that denies an identity', async () => {
      const denials = await open()
      await denials.deny(of(bob, 'lost'), noRow)
      await denials.deny(of(eve, 'lost'), noRow)
      await denials.lift(idOf(bob), noRow)
      clock.advance(400 * 86_400_000 - 1000)
      assert.equal(await denials.tidy(noRow), undefined)
      clock.advance(1000)
      await denials.tidy(noRow)
      assert.deepEqual(
        denials.entries.map(({ value }) => value),
        [eve],
      )
    })
  })
})
