// A root is retired while live SVIDs still lead to it, which would cut them off: refused on the word of every hub.
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { climbed, DAY, rotated, usageFile } from '#test/support/ceremony-scene.ts'

it('a root is not retired while one live SVID leads to it', async (t) => {
  const scene = await rotated(t, 7)
  const { table } = scene
  await assert.rejects(table.run(await table.retireFile([await usageFile(scene, 1)])), {
    code: 'ZT-412-RETIRE',
    details: { reason: 'in-use' },
  })
})

it('an emergency does not change that', async (t) => {
  const scene = await rotated(t, 7)
  const { table } = scene
  const file = await table.retireFile([await usageFile(scene, 1)], { emergency: true })
  await assert.rejects(table.run(file), { code: 'ZT-412-RETIRE', details: { reason: 'in-use' } })
})

it('one hub is not counted for two', async (t) => {
  const scene = await rotated(t, 7)
  const { table } = scene
  const usage = [await usageFile(scene, 0), await usageFile(scene, 0, { file: 'usage-2.jws' })]
  await assert.rejects(table.run(await table.retireFile(usage)), { code: 'ZT-422-CEREMONY' })
})

it('no hub is left out', async (t) => {
  const scene = await rotated(t, 7)
  const { table } = scene
  const [h1, h2] = ['spiffe://mesh.example/hub/h1', 'spiffe://mesh.example/hub/h2']
  for (const hubs of [[h1, h2], [h2]])
    await assert.rejects(table.run(await table.retireFile([await usageFile(scene, 0)], { hubs })), {
      code: 'ZT-422-CEREMONY',
      message: /"usage" .* "hubs"/,
    })
})

it('a hub that says so under the root itself is not believed', async (t) => {
  const scene = await climbed(t, 10)
  const { table, clock } = scene
  await table.run(await table.rotateFile())
  clock.advance(7 * DAY)
  await assert.rejects(table.run(await table.retireFile([await usageFile(scene, 0)])), {
    code: 'ZT-412-RETIRE',
    details: { reason: 'in-use' },
  })
})

it('a count that was changed is none', async (t) => {
  const scene = await rotated(t, 7)
  const { table } = scene
  const [header, payload = '', signature] = (await table.text(await usageFile(scene, 1))).split('.')
  const forged = Buffer.from(payload, 'base64url').toString().replace('"live":1', '"live":0')
  const text = [header, Buffer.from(forged).toString('base64url'), signature].join('.')
  await writeFile(join(table.dir, 'forged.jws'), text)
  await assert.rejects(table.run(await table.retireFile(['forged.jws'])), { code: 'ZT-401-SIG' })
})
