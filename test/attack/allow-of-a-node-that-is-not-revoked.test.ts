// Attack, or a slip of the hand: `allow` of somebody who is not revoked. It would take the machine and the TPM of a healthy
// node away from its name, which throws it out of the mesh, and the log would tell of a revocation that never was.
import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { parseSpiffeId, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import { SVID_TTL_MS, TaskOffice } from '#test/support/task-office.ts'

const REFUSED = { code: 'ZT-409-NOT-REVOKED' } as const
const grounds = { reason: 'lost' }
const operator = (office: TaskOffice): SpiffeId => parseSpiffeId(office.grant.owner)

const allow = (office: TaskOffice, id: SpiffeId): Promise<unknown> =>
  office.revocation.allow(id, office.decided())

async function revoked(t: TestContext, idOf: (office: TaskOffice) => SpiffeId): Promise<TaskOffice> {
  const office = await TaskOffice.open(t)
  await office.revocation.revoke(idOf(office), grounds, office.decided())
  office.clock.advance(SVID_TTL_MS + 1000)
  return office
}

/** One of these has lifted the revocation; the other one is told that there is none. */
async function onlyOneLifts(lifts: readonly Promise<unknown>[]): Promise<void> {
  const ends = await Promise.allSettled(lifts)
  const refusals = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason as { code: string }] : []))
  assert.deepEqual(
    refusals.map(({ code }) => code),
    [REFUSED.code],
  )
}

describe('allowing who is not revoked', () => {
  it('takes no machine from a node, and writes no row', async (t) => {
    const office = await TaskOffice.open(t)
    const before = await office.store.nodes.find('n1')
    await assert.rejects(allow(office, office.node.id), REFUSED)
    assert.deepEqual(await office.store.nodes.find('n1'), before)
    assert.notEqual(before?.device, undefined)
    assert.deepEqual(office.rows.rows, [])
    await office.svid()
  })

  it('takes none from a node of which one certificate alone is denied', async (t) => {
    const office = await TaskOffice.open(t)
    const { id, thumbprint } = office.node
    const expires = office.clock.now() + SVID_TTL_MS
    await office.revocation.revokeCertificate({ id, thumbprint, expires }, grounds, office.decided())
    await assert.rejects(allow(office, id), REFUSED)
    assert.notEqual((await office.store.nodes.find('n1'))?.device, undefined)
    assert.deepEqual(office.rows.types, ['identity.revoked'])
  })

  it('is refused for everybody, not for nodes alone', async (t) => {
    const office = await TaskOffice.open(t)
    const task = parseSpiffeId(`spiffe://${office.pki.trustDomain}/agent/reports/task/${office.proc}`)
    for (const id of [operator(office), task]) await assert.rejects(allow(office, id), REFUSED)
    assert.deepEqual([office.rows.rows, office.denials.entries], [[], []])
  })

  it('is refused to the second of two who allow at once', async (t) => {
    const office = await revoked(t, ({ node }) => node.id)
    await onlyOneLifts([allow(office, office.node.id), allow(office, office.node.id)])
    assert.deepEqual(office.rows.types, ['identity.revoked', 'identity.restored'])
  })

  it('is refused to the second of two who allow one certificate at once', async (t) => {
    const office = await TaskOffice.open(t)
    const { id, thumbprint } = office.node
    const expires = office.clock.now() + SVID_TTL_MS
    await office.revocation.revokeCertificate({ id, thumbprint, expires }, grounds, office.decided())
    const lift = (): Promise<unknown> => office.revocation.allowCertificate(id, thumbprint, office.decided())
    await onlyOneLifts([lift(), lift()])
    assert.deepEqual(office.rows.types, ['identity.revoked', 'identity.restored'])
  })

  it('does not lift a revocation that comes at the same time, before its certificates have ended', async (t) => {
    const office = await TaskOffice.open(t)
    const id = operator(office)
    const revoking = office.revocation.revoke(id, grounds, office.decided())
    await assert.rejects(allow(office, id), { code: 'ZT-403-REVOKED', message: / 240 seconds/ })
    await revoking
    assert.notEqual(office.denials.since(id), undefined)
    assert.deepEqual(office.rows.types, ['identity.revoked'])
  })
})

describe('allowing who is to be let in again', () => {
  it('can be repeated when a crash came before the denial was lifted', async (t) => {
    const office = await revoked(t, ({ node }) => node.id)
    await office.store.nodes.allow('n1')
    await allow(office, office.node.id)
    assert.equal(office.denials.since(office.node.id), undefined)
  })

  it('lets a node in, once, whose log contradicted itself: nobody has denied it', async (t) => {
    const office = await TaskOffice.open(t)
    const now = office.clock.now()
    await office.store.nodes.recordEquivocation({ node: 'n1', held: 'a', received: 'b', now })
    await allow(office, office.node.id)
    const node = await office.store.nodes.find('n1')
    assert.deepEqual([node?.distrustedAt, node?.device], [undefined, undefined])
    await assert.rejects(allow(office, office.node.id), REFUSED)
  })

  it('lets a node in that the registry alone still calls revoked', async (t) => {
    const office = await TaskOffice.open(t)
    await office.store.nodes.revoke('n1', office.clock.now())
    await allow(office, office.node.id)
    assert.equal((await office.store.nodes.find('n1'))?.revokedAt, undefined)
  })
})
