// Attack: a task that was started in the time that a revocation makes suspect waits until the revocation is over: the
// denied certificate has ended and was tidied away, or the denied identity was let in again. It asks for its identity then.
import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { parseSpiffeId, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import { SVID_TTL_MS, TaskOffice } from '#test/support/task-office.ts'

const grounds = { reason: 'stolen' }

async function refused(office: TaskOffice): Promise<void> {
  for (const kind of ['svid', 'jwt'] as const) await assert.rejects(office[kind](), { code: 'ZT-403-TASK' })
}

/** Until the deny list says nothing of the owner's certificate any more. */
async function outlive(office: TaskOffice): Promise<void> {
  office.clock.advance(SVID_TTL_MS + 120_000)
  await office.revocation.tidy()
  office.denials.list.check({ id: office.root.id, thumbprint: office.grant.ownerThumbprint })
}

async function revokeOwnersCertificate(office: TaskOffice): Promise<void> {
  const { owner, ownerThumbprint: thumbprint } = office.grant
  const expires = office.clock.now() + SVID_TTL_MS
  const certificate = { id: parseSpiffeId(owner), thumbprint, expires, natsKey: 'UA' }
  await office.revocation.revokeCertificate(certificate, grounds, office.decided())
}

async function revokeAndAllow(office: TaskOffice, id: SpiffeId): Promise<void> {
  await office.revocation.revoke(id, grounds, office.decided())
  await assert.rejects(office.svid(), { code: 'ZT-403-REVOKED' })
  office.clock.advance(SVID_TTL_MS)
  await office.revocation.allow(id, office.decided())
}

const granted = async (t: TestContext): Promise<TaskOffice> => {
  const office = await TaskOffice.open(t)
  await office.svid()
  return office
}

describe('the identity of a task, after a revocation', () => {
  it('does not come back when the certificate ends with which the task was asked for', async (t) => {
    const office = await granted(t)
    await revokeOwnersCertificate(office)
    await assert.rejects(office.svid(), { code: 'ZT-403-REVOKED' })
    await outlive(office)
    await refused(office)
  })

  it('does not come back when its owner is let in again', async (t) => {
    const office = await granted(t)
    await revokeAndAllow(office, parseSpiffeId(office.grant.owner))
    await refused(office)
  })

  it('does not come back when its node is let in again', async (t) => {
    const office = await granted(t)
    await revokeAndAllow(office, office.node.id)
    // Its machine has to join anew, and is another start of the node; the grant is not left to that alone.
    await assert.rejects(office.svid(), { code: 'ZT-401-EVIDENCE' })
    assert.equal((await office.store.tasks.find(office.proc))?.ended, office.clock.now() - SVID_TTL_MS)
  })

  it('does not come back when the task itself is let in again', async (t) => {
    const office = await granted(t)
    await revokeAndAllow(office, parseSpiffeId(`spiffe://mesh.example/agent/reports/task/${office.proc}`))
    await refused(office)
  })

  it('does not come back where a crash left a revocation of that certificate half done', async (t) => {
    const office = await granted(t)
    await office.deny('thumbprint', office.grant.ownerThumbprint)
    await office.revocation.resume()
    await outlive(office)
    await refused(office)
  })

  it('does not come back where the hub came to that only after the revocation was over', async (t) => {
    const office = await granted(t)
    await office.deny('id', office.grant.owner)
    office.clock.advance(SVID_TTL_MS)
    await office.revocation.allow(parseSpiffeId(office.grant.owner), office.decided())
    await office.revocation.resume()
    await refused(office)
  })

  it('is left to whoever was started after it, and to everybody else', async (t) => {
    const office = await granted(t)
    await office.revocation.revoke(
      parseSpiffeId('spiffe://mesh.example/operator/bob'),
      grounds,
      office.decided(),
    )
    await office.svid()
    const { owner } = office.grant
    await revokeAndAllow(office, parseSpiffeId(owner))
    office.clock.advance(1000)
    const later = { ...office.grant, proc: 'p-bbbbbbbbbbbbbbbbbbbb', minted: office.clock.now() }
    await office.store.tasks.add(later)
    await office.revocation.resume()
    assert.equal((await office.store.tasks.find(later.proc))?.ended, undefined)
  })
})
