// A ceremony that too few officers approved, or one of them twice: refused, and nothing is made.
import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { it } from 'node:test'
import { APPROVAL_MAX_AGE_MS } from '#pki/ceremony/approval.ts'
import { approvedBy, ceremonyScene, rooted } from '#test/support/ceremony-scene.ts'

for (const count of [0, 1]) {
  it(`no root is made with ${count} of 2 approvals`, async (t) => {
    const { table, clock } = await ceremonyScene(t)
    const file = table.rootFile()
    const approvals = approvedBy(file, table.officers.slice(0, count), clock.now())
    await assert.rejects(table.run(file, { approvals }), {
      code: 'ZT-403-QUORUM',
      details: { reason: 'below' },
    })
    const made = await readdir(table.dir)
    assert.ok(!made.some((name) => /root-keys|root\.pem|transcript/.test(name)))
  })
}

it('one officer who approves twice counts once', async (t) => {
  const { table, clock } = await rooted(t)
  const file = await table.bundleFile()
  const [first] = table.officers
  assert.ok(first !== undefined)
  const approvals = [
    ...approvedBy(file, [first], clock.now()),
    ...approvedBy(file, [first], clock.now() - 60_000),
  ]
  await assert.rejects(table.run(file, { approvals }), {
    code: 'ZT-403-QUORUM',
    details: { reason: 'twice' },
  })
})

it('an approval of two weeks ago counts no longer, and none from the future', async (t) => {
  const { table, clock } = await rooted(t)
  const file = await table.bundleFile()
  const now = clock.now()
  for (const at of [now - APPROVAL_MAX_AGE_MS - 1000, now + 3_600_000]) {
    const approvals = approvedBy(file, table.officers.slice(0, 2), at)
    await assert.rejects(table.run(file, { approvals }), {
      code: 'ZT-403-QUORUM',
      details: { reason: 'stale' },
    })
  }
})

it('a good quorum does not carry a bad approval beside it', async (t) => {
  const { table, clock } = await rooted(t)
  const file = await table.bundleFile()
  const approvals = approvedBy(file, table.officers.slice(0, 2), clock.now())
  const [first = ''] = approvals
  for (const extra of ['', 'approved', first.replace('bundle', 'ladder'), first.slice(0, -8)])
    await assert.rejects(table.run(file, { approvals: [...approvals, extra] }), { code: 'ZT-403-QUORUM' })
})
