// What keeps the identity of a task from being given: time, a full disk, a revocation in the middle. Who may ask at all is
// in test/attack.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import type { TaskGrant } from '#hub/store/store.ts'
import { DEFAULT_TASK_LIFE_MS, grantOf } from '#hub/tasks/task-identities.ts'
import { decodeBase64url } from '#shared/encoding/base64url.ts'
import type { SpawnCommand } from '#shared/protocol/command.ts'
import { spawnCommand } from '#test/support/hub-node.ts'
import { TaskOffice } from '#test/support/task-office.ts'

const kinds = ['svid', 'jwt'] as const

describe('the identity of a task', () => {
  for (const kind of kinds) {
    it(`is given after its row, which names task, node and owner (${kind})`, async (t) => {
      const office = await TaskOffice.open(t)
      await office[kind]()
      const [row] = office.rows.rows
      assert.equal(row?.type, `${kind}.issued`)
      assert.equal(row.actor?.sub, `spiffe://mesh.example/agent/reports/task/${office.proc}`)
      assert.equal(row.actor?.caller, office.node.id)
      assert.deepEqual([row.obj?.['proc'], row.obj?.['owner']], [office.proc, office.grant.owner])
      // Of the caller, as everywhere: a reader who looks for what a stolen certificate did looks there.
      assert.equal(row.actor?.x5t, office.node.thumbprint)
    })

    it(`is not given without its row (${kind})`, async (t) => {
      const office = await TaskOffice.open(t)
      office.rows.full = true
      await assert.rejects(office[kind](), { code: 'ZT-503-AUDIT' })
    })

    it(`is not given when its time is over (${kind})`, async (t) => {
      const office = await TaskOffice.open(t)
      office.clock.advance(11 * 86_400_000)
      await assert.rejects(office[kind](), { code: 'ZT-403-TASK' })
      assert.deepEqual(office.rows.types, ['svid.denied'])
    })

    const ends: Record<string, (office: TaskOffice) => void | Promise<unknown>> = {
      'ZT-403-REVOKED': (office) => office.deny('id', office.grant.owner),
      'ZT-403-TASK': (office) => office.store.tasks.end(office.proc, office.clock.now()),
      'ZT-490-FORK': ({ store, clock }) =>
        store.nodes.recordEquivocation({ node: 'n1', held: 'a', received: 'b', now: clock.now() }),
    }
    for (const [code, end] of Object.entries(ends))
      it(`is not given if while its row is written it becomes ${code} (${kind})`, async (t) => {
        const office = await TaskOffice.open(t)
        office.rows.during = async () => {
          office.rows.during = undefined
          await end(office)
        }
        await assert.rejects(office[kind](), { code })
        assert.deepEqual(office.rows.types, [`${kind}.issued`, 'svid.denied'])
      })

    it(`is not given where the certificate with which its owner asked is revoked (${kind})`, async (t) => {
      const office = await TaskOffice.open(t)
      await office.deny('thumbprint', office.grant.ownerThumbprint)
      await assert.rejects(office[kind](), { code: 'ZT-403-REVOKED' })
    })
  }

  it('names the certificate that was given in its row', async (t) => {
    const office = await TaskOffice.open(t)
    const { svid } = await office.svid()
    const leaf = createHash('sha256').update(decodeBase64url(svid[0] ?? '', 'svid'))
    assert.equal(office.rows.rows[0]?.obj?.['x5t'], leaf.digest('base64url'))
  })

  it('names few audiences in its row, and of many only what proves them', async (t) => {
    const office = await TaskOffice.open(t)
    const many = Array.from('abcdefgh', (letter) => letter.repeat(512))
    await office.jwt(['db', 'cache'])
    await office.jwt(many)
    const [few, digest] = office.rows.rows.map(({ obj }) => obj)
    assert.deepEqual(few?.['aud'], ['db', 'cache'])
    assert.equal(digest?.['aud'], undefined)
    assert.equal(
      digest?.['aud_sha256'],
      createHash('sha256').update(JSON.stringify(many)).digest('base64url'),
    )
    assert.ok(JSON.stringify(office.rows.rows[1]).length < 1000)
  })

  it('is counted below its root', async (t) => {
    const office = await TaskOffice.open(t)
    await office.svid()
    assert.deepEqual(await office.store.svids.count(office.clock.now()), [{ root: 'r', live: 1 }])
  })

  it('ends with its row, or not at all', async (t) => {
    const office = await TaskOffice.open(t)
    const asking = { caller: office.node, request: {} }
    office.rows.full = true
    await assert.rejects(office.tasks.ended(office.proc, asking), { code: 'ZT-503-AUDIT' })
    office.rows.full = false
    await office.svid()
    await office.tasks.ended(office.proc, asking)
    assert.equal(office.rows.types.at(-1), 'task.ended')
    await assert.rejects(office.svid(), { code: 'ZT-403-TASK' })
  })

  it('is not ended by a machine that has lost the name of its node', async (t) => {
    const office = await TaskOffice.open(t)
    const asking = { caller: office.validated('/node/n1'), request: {} }
    await assert.rejects(office.tasks.ended(office.proc, asking), { code: 'ZT-401-EVIDENCE' })
    await office.svid()
  })
})

describe('what is granted with a token', () => {
  const order = (change: Partial<SpawnCommand>): TaskGrant | undefined => {
    const cmd = spawnCommand('spiffe://td/node/n1' as SpawnCommand['node'], change) as SpawnCommand
    const owner = { id: 'spiffe://td/operator/alice' as SpawnCommand['node'], thumbprint: 'x' }
    return grantOf({ cmd, owner, node: { boot: 'b', fence: 1 }, minted: 1000 })
  }
  const sandbox = { profile: 'default@1', caps: ['identity:reports'] } as const

  it('is nothing for a process without an identity', () => {
    assert.equal(order({}), undefined)
  })

  it('ends with the limit of the process, and after thirty days without one', () => {
    assert.equal(order({ sandbox, limits: { wall_s: 10 } })?.until, 1000 + 10_000 + 60_000)
    assert.equal(order({ sandbox })?.until, 1000 + DEFAULT_TASK_LIFE_MS)
  })
})
