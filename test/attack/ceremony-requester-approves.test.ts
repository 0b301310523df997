// Who asks for a ceremony and is an officer approves it too: refused by the officer's own program and by the machine.
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { approvalText } from '#pki/ceremony/approval.ts'
import { signNote } from '#shared/log/note.ts'
import { approvedBy, reviewed, rooted } from '#test/support/ceremony-scene.ts'

it('nobody approves what they asked for', async (t) => {
  const { table, clock } = await rooted(t)
  const file = await table.bundleFile({ requester: 'olga' })
  const refusal = { code: 'ZT-403-QUORUM', details: { reason: 'requester' } }
  const [olga, omar] = table.officers
  assert.ok(olga !== undefined && omar !== undefined)
  assert.throws(() => approvedBy(file, [olga], clock.now()), refusal)
  // With a program of her own she gets a signature, and no further.
  const own = signNote(approvalText(reviewed(file), clock.now()), [olga])
  const approvals = [own, ...approvedBy(file, [omar], clock.now())]
  await assert.rejects(table.run(file, { approvals }), refusal)
})
