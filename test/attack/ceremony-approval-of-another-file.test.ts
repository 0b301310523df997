// Approvals that were given for one ceremony file are brought to another, which differs in what nobody reads aloud.
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { approvedBy, rooted } from '#test/support/ceremony-scene.ts'

const CHANGES: Record<string, object> = {
  'another output': { outputs: { bundle: 'bundle-x.jws', transcript: 'bundle.transcript' } },
  'another requester': { requester: 'rosa' },
  'a longer window': { window: { from: '2026-11-21T00:00:00Z', until: '2026-12-20T00:00:00Z' } },
}

for (const [what, change] of Object.entries(CHANGES)) {
  it(`an approval does not carry a file with ${what}`, async (t) => {
    const { table, clock } = await rooted(t)
    const file = await table.bundleFile()
    const approvals = approvedBy(file, table.officers.slice(0, 2), clock.now())
    await assert.rejects(table.run({ ...file, ...change }, { approvals }), {
      code: 'ZT-403-QUORUM',
      details: { reason: 'other-file' },
    })
  })
}

it('spaces and the order of fields are not what was approved', async (t) => {
  const { table, clock } = await rooted(t)
  const file = await table.bundleFile()
  const approvals = approvedBy(file, table.officers.slice(0, 2), clock.now())
  const turned = Object.fromEntries(Object.entries(file).toReversed())
  await table.run(JSON.stringify(turned, null, 4), { approvals })
})
