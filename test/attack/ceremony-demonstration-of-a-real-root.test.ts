// The officers of a real root are replaced in a "demonstration": scripted, online, by any program. A ceremony that touches
// no key has no label that would give it away.
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { makeOfficer, OFFLINE } from '#test/support/ceremony.ts'
import { ceremonyScene, rooted } from '#test/support/ceremony-scene.ts'

const REFUSED = { code: 'ZT-422-CEREMONY', message: /demonstration/ }
const others = ['nina', 'noor', 'nils'].map(makeOfficer)
const quorum = { threshold: 2, emergency: 3, officers: others.map(({ vkey }) => vkey) }

it('a real root has no demonstrations', async (t) => {
  const { table } = await ceremonyScene(t)
  const real = { demo: false, tool: await OFFLINE.tool() }
  await table.run(table.rootFile({ ...real, keyLabel: 'root-2026' }))
  await assert.rejects(table.run(await table.officersFile(quorum)), REFUSED)
  await table.run(await table.officersFile(quorum, real))
})

it('a demonstration has no real ceremonies after it', async (t) => {
  const { table } = await rooted(t)
  const real = { demo: false, tool: await OFFLINE.tool() }
  await assert.rejects(table.run(await table.officersFile(quorum, real)), REFUSED)
})
