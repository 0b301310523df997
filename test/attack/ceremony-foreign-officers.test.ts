// Somebody brings a set of officers of their own, in every place where one could be taken: an officers file, a history, a
// change that those in force did not approve.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { encodeOfficers, openOfficers } from '#pki/ceremony/officers-file.ts'
import { signHead } from '#pki/ceremony/signatures.ts'
import { summarizeTranscript, verifyTranscript } from '#shared/protocol/ceremony-transcript.ts'
import { CeremonyTable, makeOfficer } from '#test/support/ceremony.ts'
import { approvedBy, certificateIn, requested, reviewed } from '#test/support/ceremony-scene.ts'
import { tempDir } from '#test/support/temp-dir.ts'

const FOREIGN = { code: 'ZT-403-QUORUM', details: { reason: 'foreign' } }
const thieves = ['tara', 'theo', 'tess'].map(makeOfficer)
const quorum = { threshold: 2, emergency: 3, officers: thieves.map(({ vkey }) => vkey) }

it('officers whom the root does not name approve nothing', async (t) => {
  const { table, request, clock } = await requested(t)
  const file = await table.ladderFile(request)
  await assert.rejects(table.run(file, { approvals: approvedBy(file, thieves, clock.now()) }), FOREIGN)
})

it('an officers file of another root is refused, however well it is made', async (t) => {
  const { table, request, clock } = await requested(t)
  const theirs = await CeremonyTable.lay(await tempDir(t), { clock })
  await theirs.run(
    { ...theirs.rootFile({ quorum }) },
    {
      approvals: approvedBy(theirs.rootFile({ quorum }), thieves.slice(0, 2), clock.now()),
    },
  )
  await writeFile(join(table.dir, 'theirs.json'), await theirs.text('officers.json'))
  const file = await table.ladderFile(request, { officers: await table.input('theirs.json') })
  await assert.rejects(table.run(file, { approvals: approvedBy(file, thieves, clock.now()) }), FOREIGN)
})

it('a change of officers counts only if those in force approved it', async (t) => {
  const { table, request, clock } = await requested(t)
  const change = await table.officersFile(quorum)
  const { links } = JSON.parse(await table.text('officers.json')) as {
    links: { ceremony: string; approvals: string[] }[]
  }
  const forged = encodeOfficers(reviewed(change), approvedBy(change, thieves, clock.now()), links)
  await writeFile(join(table.dir, 'forged.json'), forged)
  const file = await table.ladderFile(request, { officers: await table.input('forged.json') })
  await assert.rejects(table.run(file, { approvals: approvedBy(file, thieves, clock.now()) }), FOREIGN)
  // Not the history alone finds that out: the proof itself does not hold.
  const root = await certificateIn(table, 'root.pem')
  assert.equal(openOfficers(await table.read('officers.json'), root).quorums.length, 1)
  assert.throws(() => openOfficers(forged, root), FOREIGN)
})

it('a history that others signed is none', async (t) => {
  const { table, request } = await requested(t)
  const summary = summarizeTranscript(verifyTranscript(await table.text('root.transcript')))
  const file = await table.ladderFile(request)
  for (const signers of [thieves, table.officers.slice(0, 1)]) {
    await writeFile(join(table.dir, 'root.transcript.sigs'), signHead(summary, signers))
    await assert.rejects(table.run(file), { code: 'ZT-403-QUORUM' })
  }
})

it('officers change by a quorum of those in force, not by one of them', async (t) => {
  const { table, clock } = await requested(t)
  const file = await table.officersFile(quorum)
  const [first] = table.officers
  assert.ok(first !== undefined)
  const approvals = approvedBy(file, [first], clock.now())
  await assert.rejects(table.run(file, { approvals }), {
    code: 'ZT-403-QUORUM',
    details: { reason: 'below' },
  })
})
