// Officers who are enough for a change of officers, and too few for an emergency, put somebody of their own in the place of
// the one who would not agree: refused until the others had seven days to see it.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { signHead } from '#pki/ceremony/signatures.ts'
import type { NoteSigner } from '#shared/log/note.ts'
import { summarizeTranscript, verifyTranscript } from '#shared/protocol/ceremony-transcript.ts'
import { makeOfficer, type InputOf } from '#test/support/ceremony.ts'
import { approvedBy, DAY, rooted, usageFile, type CeremonyScene } from '#test/support/ceremony-scene.ts'

const BELOW = { code: 'ZT-403-QUORUM', details: { reason: 'below' } }

interface Puppetry {
  readonly scene: CeremonyScene
  readonly officers: InputOf
  /** two who were there, and the new one */
  readonly three: readonly NoteSigner[]
}

/** The third officer is replaced by `approvers` of three, `days` before the root is rotated, which is a day ago. */
async function replaced(t: TestContext, approvers: number, days: number): Promise<Puppetry> {
  const scene = await rooted(t)
  const { table, clock, store } = scene
  const [olga, omar] = table.officers
  assert.ok(olga !== undefined && omar !== undefined)
  const three = [olga, omar, makeOfficer('pupa')]
  const quorum = { threshold: 2, emergency: 3, officers: three.map(({ vkey }) => vkey) }
  const change = await table.officersFile(quorum)
  const approvals = approvedBy(change, table.officers.slice(0, approvers), clock.now())
  await table.run(change, { approvals })
  const officers = await table.input('officers-2.json')
  clock.advance(days * DAY)
  await table.run(await table.rotateFile({ officers }))
  clock.advance(DAY)
  const request = await store.makeRequest({ count: 2, now: clock.now() })
  const root = await table.input('root-2.pem')
  await table.run(await table.ladderFile(request, { root, officers, keyLabel: 'demo-root-2' }))
  const bundle = await table.bundle('bundle-2.jws')
  await store.importResponse(await table.read('ladder.json'), { bundle, now: clock.now() })
  return { scene, officers, three }
}

async function retire({ scene, officers, three }: Puppetry): Promise<void> {
  const { table, clock } = scene
  const file = await table.retireFile([await usageFile(scene, 0)], { officers, emergency: true })
  await table.run(file, { approvals: approvedBy(file, three, clock.now()) })
}

it('a puppet does not make an emergency, also if the root was rotated after it was put in force', async (t) => {
  await assert.rejects(retire(await replaced(t, 2, 0)), BELOW)
})

it('a puppet of a puppet does not either', async (t) => {
  const { scene, officers, three } = await replaced(t, 2, 0)
  const { table, clock } = scene
  const [olga, omar] = three
  assert.ok(olga !== undefined && omar !== undefined)
  const again = [olga, omar, makeOfficer('puck')]
  const quorum = { threshold: 2, emergency: 3, officers: again.map(({ vkey }) => vkey) }
  const root = await table.input('root-2.pem')
  const outputs = { officers: 'officers-3.json', transcript: 'officers-3.transcript' }
  const change = await table.officersFile(quorum, { root, officers, outputs })
  await table.run(change, { approvals: approvedBy(change, three, clock.now()) })
  const summary = summarizeTranscript(verifyTranscript(await table.text('officers-3.transcript')))
  await writeFile(join(table.dir, 'officers-3.transcript.sigs'), signHead(summary, three))
  const later = { scene, officers: await table.input('officers-3.json'), three: again }
  await assert.rejects(retire(later), BELOW)
})

it('whom all put in force counts at once, and everybody after seven days', async (t) => {
  await retire(await replaced(t, 3, 0))
  await retire(await replaced(t, 2, 6))
})
