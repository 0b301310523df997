// Under the label of the root lies another key: nothing is signed with it.
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { verifyTranscript } from '#shared/protocol/ceremony-transcript.ts'
import { requested } from '#test/support/ceremony-scene.ts'

const OTHER = { certificate: 'o.pem', bundle: 'o.jws', officers: 'o.json', transcript: 'o.transcript' }

it('a key that is not that of the root certificate signs nothing', async (t) => {
  const { table, request } = await requested(t)
  await table.run(table.rootFile({ keyLabel: 'demo-other', outputs: OTHER }))
  const file = await table.ladderFile(request, { keyLabel: 'demo-other' })
  await assert.rejects(table.run(file), { code: 'ZT-422-CEREMONY', message: /not the key of the root/ })
  const lines = verifyTranscript(await table.text('ladder.transcript'))
  assert.ok(!lines.some(({ step }) => step === 'signed' || step === 'confirmed'))
  assert.equal(lines.at(-1)?.facts['left'], 'nothing was made, signed or written')
})

it('the certificate of another root of the same name does not stand for it', async (t) => {
  const { table, request } = await requested(t)
  await table.run(table.rootFile({ keyLabel: 'demo-other', outputs: OTHER }))
  const file = await table.ladderFile(request, {
    root: await table.input('o.pem'),
    held: await table.input('o.jws'),
    after: await table.input('o.transcript'),
  })
  await assert.rejects(table.run(file), { code: 'ZT-422-CEREMONY', message: /not the key of the root/ })
})
