// The suite of the ledger of SVIDs, against every store of a hub.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { createSqliteStore, openSqliteStore } from '#hub/store/sqlite.ts'
import type { HubStore, SvidRecord } from '#hub/store/store.ts'
import { tempDir } from '#test/support/temp-dir.ts'

const NOW = Date.UTC(2026, 10, 22)
const [OLD, NEW] = ['a'.repeat(64), 'b'.repeat(64)]

const STORES: Record<string, (t: TestContext) => Promise<() => HubStore>> = {
  sqlite: async (t) => {
    const file = join(await tempDir(t), 'hub.db')
    createSqliteStore(file)
    return () => openSqliteStore(file)
  },
}

const svid = (thumbprint: string, change: Partial<SvidRecord> = {}): SvidRecord => ({
  thumbprint,
  id: 'spiffe://td/node/n1',
  issuer: 'rung-1',
  root: OLD,
  expires: NOW + 1000,
  ...change,
})

for (const [name, prepare] of Object.entries(STORES)) {
  describe(`ledger of svids: ${name}`, () => {
    const using = async (t: TestContext): Promise<HubStore> => {
      const store = (await prepare(t))()
      t.after(() => store.close())
      return store
    }

    it('counts those that live, for each root', async (t) => {
      const { svids } = await using(t)
      for (const one of [svid('a'), svid('b'), svid('c', { root: NEW }), svid('d', { expires: NOW })])
        await svids.record(one)
      assert.deepEqual(await svids.count(NOW), [
        { root: OLD, live: 2 },
        { root: NEW, live: 1 },
      ])
      assert.deepEqual(await svids.count(NOW + 1000), [])
    })

    it('finds one by its thumbprint while it lives', async (t) => {
      const { svids } = await using(t)
      for (const one of [svid('a'), svid('b')]) await svids.record(one)
      assert.deepEqual(await svids.find('b', NOW), svid('b'))
      assert.equal(await svids.find('b', NOW + 1000), undefined)
      assert.equal(await svids.find('c', NOW), undefined)
      const { id } = svid('a')
      assert.deepEqual([await svids.live(id, NOW), await svids.live(id, NOW + 1000)], [2, 0])
      assert.equal(await svids.live('spiffe://td/node/n2', NOW), 0)
    })

    it('counts after a restart what it counted before', async (t) => {
      const open = await prepare(t)
      const before = open()
      await before.svids.record(svid('a'))
      await before.close()
      const after = open()
      t.after(() => after.close())
      assert.deepEqual(await after.svids.count(NOW), [{ root: OLD, live: 1 }])
    })

    it('forgets the others of an identity that shows a new one, and nobody else', async (t) => {
      const { svids } = await using(t)
      const id = 'spiffe://td/nats/h1'
      for (const one of [svid('a', { id }), svid('b', { id, root: NEW }), svid('c')]) await svids.record(one)
      await svids.endOthers(id, 'b')
      assert.deepEqual(await svids.count(NOW), [
        { root: OLD, live: 1 },
        { root: NEW, live: 1 },
      ])
    })

    it('names the nats keys of the live credentials below an intermediate', async (t) => {
      const { svids, credentials } = await using(t)
      const given = { id: 'spiffe://td/node/n1', expires: NOW + 1000 }
      for (const [natsKey, thumbprint, issuer] of [
        ['UA', 'a', 'rung-1'],
        ['UB', 'b', 'rung-2'],
        ['UC', 'c', 'rung-1'],
      ] as const) {
        await credentials.add({ ...given, natsKey, thumbprint })
        await svids.record(svid(thumbprint, { issuer }))
      }
      assert.deepEqual(await svids.natsKeysBelow('rung-1', NOW), ['UA', 'UC'])
      assert.deepEqual(await svids.natsKeysBelow('rung-1', NOW + 1000), [])
      assert.deepEqual(await svids.natsKeysBelow('', NOW), [])
    })

    it('is pruned with the rest', async (t) => {
      const store = await using(t)
      await store.svids.record(svid('a'))
      await store.prune(NOW + 1000)
      assert.deepEqual(await store.svids.count(NOW), [])
    })
  })
}
