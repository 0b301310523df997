// Officers whom nobody put in force write themselves into the proof, before the quorum that the root's certificate names:
// what they say of the past counts for nothing.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { encodeOfficers, openOfficers } from '#pki/ceremony/officers-file.ts'
import { quorumFacts } from '#pki/ceremony/history.ts'
import { signHead } from '#pki/ceremony/signatures.ts'
import { fileDigest } from '#pki/issuance/ladder-request.ts'
import { canonicalJson } from '#shared/encoding/canonical-json.ts'
import { summarizeTranscript, verifyTranscript, type Facts } from '#shared/protocol/ceremony-transcript.ts'
import { rootFingerprint } from '#shared/x509/bundle.ts'
import { makeOfficer, type CeremonyTable, type InputOf } from '#test/support/ceremony.ts'
import { approvedBy, certificateIn, DAY, reviewed, rotated, usageFile } from '#test/support/ceremony-scene.ts'
import { bound } from '#test/support/ceremony-transcripts.ts'

const FOREIGN = { code: 'ZT-403-QUORUM', details: { reason: 'foreign' } }
const thieves = ['tara', 'theo', 'tess'].map(makeOfficer)
const theirs = { threshold: 2, emergency: 3, officers: thieves.map(({ vkey }) => vkey) }

/** An officers file in which the thieves "put in force" those who really are. */
async function usurped(table: CeremonyTable): Promise<InputOf> {
  const [first, second] = [table.rootFile({ quorum: theirs }), await table.officersFile(table.quorum())]
  const at = table.clock.now()
  const { links } = JSON.parse(
    Buffer.from(encodeOfficers(reviewed(first), approvedBy(first, thieves, at))).toString(),
  ) as { links: { ceremony: string; approvals: string[] }[] }
  const forged = encodeOfficers(reviewed(second), approvedBy(second, thieves, at), links)
  await writeFile(join(table.dir, 'usurped.json'), forged)
  return table.input('usurped.json')
}

/** A transcript of four lines that the thieves wrote and signed, of `days` ago. */
async function forgedTranscript(
  table: CeremonyTable,
  days: number,
  facts: { readonly type: string; readonly more: readonly (readonly [string, Facts])[] },
): Promise<InputOf> {
  const at = new Date(table.clock.now() - days * DAY).toISOString()
  const real = verifyTranscript(await table.text(table.last))[0]?.facts ?? {}
  const steps: readonly (readonly [string, Facts])[] = [
    ['ceremony', { ...real, type: facts.type }],
    ['quorum', quorumFacts(theirs)],
    ...facts.more,
    ['done', {}],
  ]
  const lines = bound(steps.map(([step, said]) => ({ seq: 0, prev: '', at, step, facts: said })))
  const file = 'forged.transcript'
  await writeFile(join(table.dir, file), lines.map((line) => `${canonicalJson(line)}\n`).join(''))
  await writeFile(join(table.dir, `${file}.sigs`), signHead(summarizeTranscript(lines), thieves))
  return { file, sha256: fileDigest(await table.read(file)) }
}

it('a rotation that they date back does not begin the seven days', async (t) => {
  const scene = await rotated(t, 0)
  const { table } = scene
  const root = rootFingerprint(await certificateIn(table, 'root-2.pem'))
  const officers = await usurped(table)
  const rotation = await forgedTranscript(table, 8, {
    type: 'rotate-root',
    more: [['signed', { certificate: root }]],
  })
  const file = await table.retireFile([await usageFile(scene, 0)], { officers, rotation })
  await assert.rejects(table.run(file), FOREIGN)
})

it('a ceremony before that they wrote is none', async (t) => {
  const { table } = await rotated(t, 0)
  const officers = await usurped(table)
  const after = await forgedTranscript(table, 1, {
    type: 'officers',
    more: [['new quorum', quorumFacts(table.quorum())]],
  })
  await assert.rejects(table.run(await table.crossSignFile({ officers, after })), FOREIGN)
})

it('the proof tells only of those whom the root names, and of those after them', async (t) => {
  const { table } = await rotated(t, 0)
  await usurped(table)
  const { quorums } = openOfficers(await table.read('usurped.json'), await certificateIn(table, 'root.pem'))
  assert.deepEqual(quorums, [table.quorum()])
})
