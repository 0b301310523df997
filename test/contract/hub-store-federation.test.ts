// What every HubStore must do with bundle documents, whatever it stores in. Run against each implementation.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { createSqliteStore, openSqliteStore } from '#hub/store/sqlite.ts'
import type { FederatedBundle, HubStore } from '#hub/store/store.ts'
import { tempDir } from '#test/support/temp-dir.ts'

interface Implementation {
  readonly name: string
  readonly create: (dir: string) => void
  readonly open: (dir: string) => HubStore
}

const IMPLEMENTATIONS: readonly Implementation[] = [
  {
    name: 'SQLite',
    create: (dir) => createSqliteStore(join(dir, 'hub.db')),
    open: (dir) => openSqliteStore(join(dir, 'hub.db')),
  },
]

const bundle = (trustDomain: string, document: string): FederatedBundle => ({
  trustDomain,
  document,
  fetchedAt: 1_000_000,
})

for (const { name, create, open } of IMPLEMENTATIONS)
  describe(`${name}: bundles`, () => {
    it('of our own have growing sequence numbers, also after a restart', async (t) => {
      const dir = await tempDir(t)
      create(dir)
      const first = open(dir)
      assert.equal(await first.federation.published(), undefined)
      await first.federation.publish({ digest: 'a', sequence: 100 })
      await first.federation.publish({ digest: 'b', sequence: 101 })
      for (const sequence of [100, 101])
        await assert.rejects(first.federation.publish({ digest: 'c', sequence }), { code: 'ZT-503-STORE' })
      await first.close()
      const second = open(dir)
      t.after(() => second.close())
      assert.deepEqual(await second.federation.published(), { digest: 'b', sequence: 101 })
    })

    it('of others are kept with the file that the operator gave last', async (t) => {
      const dir = await tempDir(t)
      create(dir)
      const store = open(dir)
      t.after(() => store.close())
      const given = { ...bundle('a.example', 'a1'), given: 'D' }
      await store.federation.put(given)
      assert.deepEqual(await store.federation.list(), [given])
      await store.federation.put(bundle('a.example', 'a2'))
      assert.deepEqual(await store.federation.list(), [bundle('a.example', 'a2')])
    })

    it('of others are kept apart by their trust domain, the newest of each', async (t) => {
      const dir = await tempDir(t)
      create(dir)
      const first = open(dir)
      await first.federation.put(bundle('b.example', 'b1'))
      await first.federation.put(bundle('a.example', 'a1'))
      await first.federation.put(bundle('b.example', 'b2'))
      await first.close()
      const second = open(dir)
      t.after(() => second.close())
      assert.deepEqual(await second.federation.list(), [bundle('a.example', 'a1'), bundle('b.example', 'b2')])
      await second.federation.remove('b.example')
      assert.deepEqual(await second.federation.list(), [bundle('a.example', 'a1')])
    })
  })
