// Officers sign a transcript that names others as those who approved: the quorum's number is there, and not the people who
// were.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { signHead } from '#pki/ceremony/signatures.ts'
import { verifyCeremony } from '#pki/ceremony/verify.ts'
import { summarizeTranscript, verifyTranscript } from '#shared/protocol/ceremony-transcript.ts'
import { rooted } from '#test/support/ceremony-scene.ts'

const REFUSED = { code: 'ZT-403-QUORUM', details: { reason: 'approver' }, message: /olga/ }

it('a transcript is signed by everybody whom it names as approving', async (t) => {
  const { table } = await rooted(t)
  const transcript = join(table.dir, 'root.transcript')
  const summary = summarizeTranscript(verifyTranscript(await table.text('root.transcript')))
  const [olga, ...others] = table.officers
  assert.ok(olga !== undefined && others.length === 2)
  await writeFile(`${transcript}.sigs`, signHead(summary, others))
  await assert.rejects(verifyCeremony({ transcript }), REFUSED)
  await assert.rejects(table.run(await table.bundleFile()), REFUSED)
  await writeFile(`${transcript}.sigs`, signHead(summary, [...others, olga]))
  await verifyCeremony({ transcript })
  await table.run(await table.bundleFile())
})
