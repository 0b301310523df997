// The deny list in force, as it was stored, whatever happens in between.
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, before, beforeEach, describe, it } from 'node:test'
import { Denials } from '#hub/revocation/denials.ts'
import { createSqliteStore, openSqliteStore } from '#hub/store/sqlite.ts'
import type { HubStore } from '#hub/store/store.ts'
import type { Identity } from '#shared/identity/identity.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { openDenyList } from '#shared/protocol/deny-list.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { noRow } from '#test/fakes/row-log.ts'
import { createTestAuthority, TEST_NOW, type TestAuthority } from '#test/support/test-authority.ts'

const bob = parseSpiffeId('spiffe://mesh.example/operator/bob')
const eve = parseSpiffeId('spiffe://mesh.example/operator/eve')

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
    assert.equal((await denials.deny(bob, 'lost', noRow)).ver, 1)
    assert.throws(() => denials.list.check(svid(bob)), { code: 'ZT-403-REVOKED' })
    const next = await open()
    assert.throws(() => next.list.check(svid(bob)), { code: 'ZT-403-REVOKED' })
    next.list.check(svid(eve))
  })

  it('says since when', async () => {
    const denials = await open()
    await denials.deny(bob, 'lost', noRow)
    assert.equal(denials.since(bob), TEST_NOW)
    assert.equal(denials.since(eve), undefined)
  })

  it('is the same list when somebody is denied twice', async () => {
    const denials = await open()
    await denials.deny(bob, 'lost', noRow)
    assert.equal((await denials.deny(bob, 'again', noRow)).ver, 1)
    assert.equal(denials.entries.length, 1)
  })

  it('loses nobody when many are denied at once', async () => {
    const denials = await open()
    const ids = Array.from({ length: 30 }, (_, i) => parseSpiffeId(`spiffe://mesh.example/operator/o${i}`))
    await Promise.all(ids.map((id) => denials.deny(id, 'x', noRow)))
    assert.equal(denials.version, 30)
    for (const id of ids) assert.throws(() => denials.list.check(svid(id)), { code: 'ZT-403-REVOKED' })
  })

  it('says the beginning of a long reason to the nodes', async () => {
    const denials = await open()
    await denials.deny(bob, '\u{1f511}'.repeat(200), noRow)
    const document = openDenyList(denials.signed(), { trust: authority.validator(), now: TEST_NOW })
    assert.equal(document.entries[0]?.reason, '\u{1f511}'.repeat(64))
  })

  it('refuses the entry that it could not be signed with, before its row, and stays as it is', async () => {
    const fill = Array.from({ length: 3100 }, (_, i) => ({
      kind: 'id' as const,
      value: `spiffe://mesh.example/operator/o${i}`,
      from: 1,
      reason: '',
    }))
    await store.denials.replace(0, fill)
    const denials = await open()
    let rows = 0
    const counted: typeof noRow = () => {
      rows += 1
      return noRow()
    }
    const more = async (): Promise<void> => {
      for (let i = 0; i < 400; i += 1)
        await denials.deny(parseSpiffeId(`spiffe://mesh.example/operator/p${i}`), 'lost'.repeat(99), counted)
    }
    await assert.rejects(more(), { code: 'ZT-413-SIZE' })
    assert.deepEqual([rows, denials.entries.length], [denials.version - 1, fill.length + rows])
    const document = openDenyList(denials.signed(), { trust: authority.validator(), now: TEST_NOW })
    assert.equal(document.entries.length, denials.entries.length)
    denials.list.check(svid(parseSpiffeId(`spiffe://mesh.example/operator/p${rows}`)))
  })

  it('goes up in version when somebody is taken off', async () => {
    const denials = await open()
    await denials.deny(bob, 'lost', noRow)
    assert.equal((await denials.lift(bob, noRow)).ver, 2)
    denials.list.check(svid(bob))
    assert.equal((await denials.lift(bob, noRow)).ver, 2)
  })

  it('is signed by the identity of the moment, and opened by whoever trusts the root', async () => {
    const denials = await open()
    await denials.deny(bob, 'lost', noRow)
    const first = denials.signed()
    assert.equal(denials.signed(), first)
    identity = await authority.identity('/hub/h1')
    assert.notEqual(denials.signed(), first)
    const document = openDenyList(denials.signed(), { trust: authority.validator(), now: TEST_NOW })
    assert.deepEqual([document.ver, document.entries[0]?.value], [1, bob])
  })

  it('does not change in memory when it cannot be stored', async () => {
    const denials = await open()
    const failing = {
      ...store.denials,
      read: () => store.denials.read(),
      replace: () => Promise.reject(new Error('full')),
    }
    const broken = await Denials.open({ store: failing, clock, identity: () => identity })
    await assert.rejects(broken.deny(bob, 'lost', noRow))
    broken.list.check(svid(bob))
    denials.list.check(svid(bob))
  })
})
