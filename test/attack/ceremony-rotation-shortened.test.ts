// The old root is retired before nodes had seven days to learn the new one: refused, but for an emergency that more
// officers approve.
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { DAY, approvedBy, rotated, usageFile } from '#test/support/ceremony-scene.ts'

const EARLY = { code: 'ZT-412-RETIRE', details: { reason: 'too-early' } }

it('a root is not retired a minute before its seven days are over', async (t) => {
  const scene = await rotated(t, 6)
  const { table, clock } = scene
  clock.advance(DAY - 60_000)
  await assert.rejects(table.run(await table.retireFile([await usageFile(scene, 0)])), EARLY)
})

it('seven days in a drawer are none: they begin when a hub has the bundle', async (t) => {
  const scene = await rotated(t, 9)
  const { table, clock } = scene
  for (const since of [clock.now() - 6 * DAY, null]) {
    const usage = await usageFile(scene, 0, { since })
    await assert.rejects(table.run(await table.retireFile([usage])), EARLY)
  }
  await table.run(await table.retireFile([await usageFile(scene, 0, { since: clock.now() - 7 * DAY })]))
})

it('an emergency needs more officers than are enough otherwise', async (t) => {
  const scene = await rotated(t, 1)
  const { table, clock } = scene
  const file = await table.retireFile([await usageFile(scene, 0)], { emergency: true })
  const approvals = approvedBy(file, table.officers.slice(0, 2), clock.now())
  await assert.rejects(table.run(file, { approvals }), {
    code: 'ZT-403-QUORUM',
    details: { reason: 'below' },
  })
})

it('the transcript of another ceremony does not stand for the rotation', async (t) => {
  const scene = await rotated(t, 1)
  const { table } = scene
  const rotation = await table.input('root.transcript')
  await assert.rejects(table.run(await table.retireFile([await usageFile(scene, 0)], { rotation })), {
    code: 'ZT-422-CEREMONY',
    message: /"rotation"/,
  })
})

it('a clock that was turned forward by hand is seen by the one who counts, not by the machine', async (t) => {
  const scene = await rotated(t, 1)
  const { table, clock } = scene
  const usage = await usageFile(scene, 0)
  // The hub's count is as old as the machine's clock says, and a count of a week ago is none.
  clock.advance(7 * DAY)
  await assert.rejects(table.run(await table.retireFile([usage])), { code: 'ZT-408-STALE' })
})
