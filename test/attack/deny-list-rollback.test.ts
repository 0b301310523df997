// Whoever has the broker kept the deny lists from before a revocation, truly signed by the hub, and sends them to the nodes
// again and again; and the hub itself is set back to an older copy of its store. No node lets anybody in again for that.
import assert from 'node:assert/strict'
import { DatabaseSync } from 'node:sqlite'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { openDenyList, type DenyDocument } from '#shared/protocol/deny-list.ts'
import { DENY_SUBJECT } from '#shared/protocol/subjects.ts'
import { judgementOf, rowsOf } from '#test/support/audit-rows.ts'
import { BrokerThief } from '#test/support/broker-thief.ts'
import { eventually } from '#test/support/eventually.ts'
import { needsMesh, startTestMesh, type TestMesh } from '#test/support/mesh.ts'
import type { Granted } from '#test/support/principal.ts'

const REVOKED = 'ZT-403-REVOKED'
const AGAIN_MS = 20

/** The store of a hub that is down, as it was before anybody was revoked. */
function rewindDenials(file: string): void {
  const store = new DatabaseSync(file)
  store.exec("UPDATE denials SET ver = 0, entries = '[]'")
  store.close()
}

describe('a deny list from before a revocation', { skip: needsMesh }, () => {
  let mesh: TestMesh
  let thief: BrokerThief
  let granted: Granted
  let older: Buffer
  let replay: NodeJS.Timeout

  const opened = (data: Buffer): DenyDocument =>
    openDenyList(data.toString('latin1'), { trust: thief.stolen.trust, now: Date.now() })
  before(async () => {
    mesh = await startTestMesh({ nodes: ['n1'] })
    thief = await BrokerThief.enter(mesh)
    older = await eventually('a list to be pushed', () => {
      const heard = thief.heard.findLast(({ subject }) => subject === DENY_SUBJECT)
      return heard?.data
    })
    granted = await thief.capability('n1', ['true'])
    await mesh.out(['login'])
    await mesh.out(['revoke', thief.stolen.session.identity.thumbprint, '--yes', '--reason', 'copied'])
    replay = setInterval(() => {
      if (thief.channel.connected) thief.channel.publish(DENY_SUBJECT, older)
    }, AGAIN_MS)
  })
  after(async () => {
    clearInterval(replay)
    await thief?.leave()
    await mesh?.end()
  })

  const judged = async (nodeKey: string = granted.nodeKey): Promise<string> =>
    judgementOf(mesh.auditFile('n1'), await thief.principal().command({ ...granted, nodeKey }))

  it('is true, and older', () => {
    assert.equal(opened(older).entries.length, 0)
    const newest = thief.heard.findLast(
      ({ subject, data }) => subject === DENY_SUBJECT && !data.equals(older),
    )
    assert.ok(newest !== undefined && opened(newest.data).ver > opened(older).ver)
  })

  it('lets nobody in again', async () => {
    const from = thief.heard.length
    await eventually('it to be sent many times', () => (thief.heard.length > from + 10 ? true : undefined))
    assert.equal(await judged(), REVOKED)
  })

  it('lets nobody in again at a node that starts while it is sent', async () => {
    await mesh.programs.kill('n1')
    mesh.programs.launchNode('n1')
    await eventually('the node to answer', async () =>
      (await mesh.ztctl(['ps', '-n', 'n1', '--request-timeout', '500ms'])).code === 0 ? true : undefined,
    )
    const alice = await BrokerThief.enter(mesh)
    const { nodeKey } = await alice.capability('n1', ['true'])
    await alice.leave()
    assert.equal(await judged(nodeKey), REVOKED)
  })

  it('lets nobody in again when the hub itself was set back to it', async () => {
    const versions = (): readonly unknown[] =>
      rowsOf(mesh.auditFile('n1'))
        .filter(({ type }) => type === 'deny.updated')
        .map(({ obj }) => obj?.['ver'])
    const before = versions()
    await mesh.programs.kill('hub', 'SIGTERM')
    rewindDenials(join(mesh.dir, 'hub', 'hub.db'))
    await mesh.programs.startHub()
    await eventually('the node to answer', async () =>
      (await mesh.ztctl(['ps', '-n', 'n1', '--request-timeout', '500ms'])).code === 0 ? true : undefined,
    )
    await eventually('the broker to be reached', () => (thief.channel.connected ? true : undefined))
    const alice = await BrokerThief.enter(mesh)
    const { nodeKey } = await alice.capability('n1', ['true'])
    await alice.leave()
    assert.equal(await judged(nodeKey), REVOKED)
    assert.deepEqual(versions(), before)
    // And whom it revokes from then on is revoked everywhere: its lists are not taken for old ones.
    await mesh.out(['revoke', 'operator/eve', '--yes'])
    await eventually('the newer list', () => (versions().length > before.length ? true : undefined))
  })
})
