// What every HubStore must remember of tasks and of the keys that sign their tokens. Run against each implementation.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { createSqliteStore, openSqliteStore } from '#hub/store/sqlite.ts'
import type { HubStore, TaskGrant } from '#hub/store/store.ts'
import { tempDir } from '#test/support/temp-dir.ts'

interface Implementation {
  readonly name: string
  create(dir: string): void
  open(dir: string): HubStore
}

const IMPLEMENTATIONS: readonly Implementation[] = [
  {
    name: 'SQLite',
    create: (dir) => createSqliteStore(join(dir, 'hub.db')),
    open: (dir) => openSqliteStore(join(dir, 'hub.db')),
  },
]

const NOW = 1_000_000
const DAY = 24 * 60 * 60_000
const grant: TaskGrant = {
  proc: 'p-aaaaaaaaaaaaaaaaaaaa',
  node: 'spiffe://td/node/n1',
  agent: 'reports',
  owner: 'spiffe://td/operator/alice',
  ownerThumbprint: 'x5t',
  boot: 'boot-a',
  fence: 3,
  minted: NOW,
  until: NOW + DAY,
}

for (const implementation of IMPLEMENTATIONS)
  describe(`tasks of a HubStore in ${implementation.name}`, () => {
    async function make(t: TestContext): Promise<{ store: HubStore; reopen: () => Promise<HubStore> }> {
      const dir = await tempDir(t)
      implementation.create(dir)
      let store = implementation.open(dir)
      t.after(() => store.close())
      const reopen = async (): Promise<HubStore> => {
        await store.close()
        store = implementation.open(dir)
        return store
      }
      return { store, reopen }
    }

    it('are kept as they were granted, also after a restart', async (t) => {
      const { store, reopen } = await make(t)
      assert.equal(await store.tasks.add(grant), true)
      assert.deepEqual(await (await reopen()).tasks.find(grant.proc), grant)
    })

    it('are not granted twice, on no node and to nobody', async (t) => {
      const { store } = await make(t)
      await store.tasks.add(grant)
      for (const change of [{}, { node: 'spiffe://td/node/n2' }, { owner: 'spiffe://td/operator/bob' }])
        assert.equal(await store.tasks.add({ ...grant, ...change }), false)
      assert.deepEqual(await store.tasks.find(grant.proc), grant)
    })

    it('of 50 grants of one process at once, one is kept', async (t) => {
      const { store } = await make(t)
      const added = await Promise.all(Array.from({ length: 50 }, () => store.tasks.add(grant)))
      assert.equal(added.filter(Boolean).length, 1)
    })

    it('end once', async (t) => {
      const { store } = await make(t)
      await store.tasks.add(grant)
      assert.equal(await store.tasks.end(grant.proc, NOW + 1), true)
      assert.equal(await store.tasks.end(grant.proc, NOW + 2), false)
      assert.equal((await store.tasks.find(grant.proc))?.ended, NOW + 1)
      assert.equal(await store.tasks.end('p-bbbbbbbbbbbbbbbbbbbb', NOW), false)
    })

    const selections: Record<string, Partial<TaskGrant>> = {
      'their owner': { owner: grant.owner },
      'the certificate of their owner': { ownerThumbprint: grant.ownerThumbprint },
      'their node': { node: grant.node },
      'one of them': { proc: grant.proc },
    }
    for (const [what, of] of Object.entries(selections))
      it(`end all at once by ${what}, and no others`, async (t) => {
        const { store } = await make(t)
        const foreign = {
          owner: 'spiffe://td/operator/bob',
          ownerThumbprint: 'y',
          node: 'spiffe://td/node/n2',
        }
        const other = { ...grant, ...foreign, proc: 'p-bbbbbbbbbbbbbbbbbbbb' }
        const later = { ...grant, proc: 'p-cccccccccccccccccccc', minted: NOW + 10 }
        for (const one of [grant, other, later]) await store.tasks.add(one)
        const ended = async (): Promise<unknown[]> =>
          Promise.all([grant, later, other].map(async ({ proc }) => (await store.tasks.find(proc))?.ended))
        await store.tasks.endAll(of, { now: NOW + 20, before: NOW + 10 })
        assert.deepEqual(await ended(), [NOW + 20, undefined, undefined])
        await store.tasks.endAll(of, { now: NOW + 30 })
        assert.deepEqual(await ended(), [NOW + 20, what === 'one of them' ? undefined : NOW + 30, undefined])
        await store.tasks.endAll({}, { now: NOW + 40 })
        assert.equal((await ended())[2], undefined)
      })

    it('keep their names for thirty days after their end, and none that runs is forgotten', async (t) => {
      const { store } = await make(t)
      const other = { ...grant, proc: 'p-bbbbbbbbbbbbbbbbbbbb', until: NOW + 100 * DAY }
      await store.tasks.add(grant)
      await store.tasks.add(other)
      await store.tasks.end(grant.proc, NOW + 1)
      await store.prune(NOW + 30 * DAY)
      assert.equal(await store.tasks.add(grant), false)
      await store.prune(NOW + 1 + 30 * DAY)
      assert.equal(await store.tasks.find(grant.proc), undefined)
      assert.deepEqual(await store.tasks.find(other.proc), other)
    })

    it('sealed keys are listed by when they sign, until they are forgotten', async (t) => {
      const { store, reopen } = await make(t)
      const sealed = new Uint8Array(Buffer.from('sealed'))
      await store.jwtKeys.add({ kid: 'a', sealed, active: 1 })
      await store.jwtKeys.add({ kid: 'b', sealed, active: 2 })
      const again = await reopen()
      assert.deepEqual(
        (await again.jwtKeys.list()).map(({ kid }) => kid),
        ['b', 'a'],
      )
      await again.jwtKeys.forget('a')
      assert.deepEqual(await again.jwtKeys.list(), [{ kid: 'b', sealed, active: 2 }])
    })
  })
