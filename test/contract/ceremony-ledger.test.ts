// The suite of the ledger of anchored ceremonies, against every store of a hub.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { createSqliteStore, openSqliteStore } from '#hub/store/sqlite.ts'
import type { HubStore } from '#hub/store/store.ts'
import { tempDir } from '#test/support/temp-dir.ts'

const STORES: Record<string, (t: TestContext) => Promise<() => HubStore>> = {
  sqlite: async (t) => {
    const file = join(await tempDir(t), 'hub.db')
    createSqliteStore(file)
    return () => openSqliteStore(file)
  },
}

for (const [name, prepare] of Object.entries(STORES))
  describe(`ledger of ceremonies: ${name}`, () => {
    it('has one head after each, and after none, also when it is opened again', async (t) => {
      const open = await prepare(t)
      const before = open()
      const [root, ladder] = [
        { previous: '', head: 'h1' },
        { previous: 'h1', head: 'h2' },
      ]
      for (const link of [root, ladder, root]) assert.equal(await before.ceremonies.add(link), true)
      await before.close()
      const store = open()
      t.after(() => store.close())
      for (const link of [root, ladder]) assert.equal(await store.ceremonies.after(link.previous), link.head)
      assert.equal(await store.ceremonies.after('h2'), undefined)
    })

    it('takes one of any number that go on from the same', async (t) => {
      const store = (await prepare(t))()
      t.after(() => store.close())
      const heads = ['a', 'b', 'c']
      const taken = await Promise.all(heads.map((head) => store.ceremonies.add({ previous: 'h1', head })))
      assert.deepEqual(taken.filter(Boolean).length, 1)
      assert.equal(await store.ceremonies.after('h1'), heads[taken.indexOf(true)])
    })
  })
