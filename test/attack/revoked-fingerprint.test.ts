// Somebody copied the session of an operator: its certificate is revoked by its fingerprint. Within a second it is worth
// nothing, at the hub, at the broker and at every node, with capabilities that were granted to it before; and the
// operator, who has another certificate, goes on.
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { Channel } from '#shared/host/channel.ts'
import { systemClock } from '#shared/host/clock.ts'
import { silentLogger } from '#shared/host/logger.ts'
import { connectNats } from '#shared/host/nats-channel.ts'
import { judgementOf } from '#test/support/audit-rows.ts'
import { BrokerThief } from '#test/support/broker-thief.ts'
import { eventually } from '#test/support/eventually.ts'
import { needsMesh, startTestMesh, type TestMesh } from '#test/support/mesh.ts'
import type { Granted } from '#test/support/principal.ts'

const REVOKED = { code: 'ZT-403-REVOKED' } as const
const FELT_WITHIN_MS = 1_000

describe('a certificate that is revoked by its fingerprint', { skip: needsMesh }, () => {
  let mesh: TestMesh
  let thief: BrokerThief
  let stolenChannel: Channel
  let granted: Granted
  let revokedAt = 0

  before(async () => {
    mesh = await startTestMesh({ nodes: ['n1'] })
    thief = await BrokerThief.enter(mesh)
    const { session, trust } = thief.stolen
    stolenChannel = await connectNats({
      servers: [`127.0.0.1:${mesh.programs.natsPort}`],
      identity: session.identity,
      credentials: { jwt: session.credentials.nats_jwt, key: session.nats },
      trust,
      expectServer: session.credentials.nats.serverId,
      clock: systemClock,
      log: silentLogger,
    })
    const first = await thief.capability('n1', ['true'])
    assert.equal(await judgementOf(mesh.auditFile('n1'), await thief.principal().command(first)), 'accepted')
    granted = await thief.capability('n1', ['true'])
    await mesh.out(['login'])
    const { fingerprint } = await mesh.json<{ fingerprint: string }>(['whoami'])
    assert.notEqual(fingerprint, session.identity.thumbprint)
    const hex = Buffer.from(session.identity.thumbprint, 'base64url').toString('hex')
    await mesh.out(['revoke', `sha256:${hex}`, '--yes', '--reason', 'copied'])
    revokedAt = performance.now()
  })
  after(async () => {
    await stolenChannel?.close()
    await thief?.leave()
    await mesh?.end()
  })

  it('is refused by node, hub and broker within a second', async () => {
    const principal = thief.principal()
    const commanded = await principal.command(granted)
    const asked = await principal.ask('node.list', {})
    assert.equal(await judgementOf(mesh.auditFile('n1'), commanded), REVOKED.code)
    assert.equal(await judgementOf(mesh.hubLog, asked), REVOKED.code)
    await eventually('its connection to be closed', () => (stolenChannel.connected ? undefined : true), 1_000)
    assert.ok(performance.now() - revokedAt < FELT_WITHIN_MS, 'all of it within a second')
  })

  it('takes neither its operator nor the operator’s next certificate with it', async () => {
    assert.equal(await mesh.out(['run', '-n', 'n1', '--', 'printf', 'well']), 'well')
    await mesh.out(['login'])
    assert.equal(await mesh.out(['run', '-n', 'n1', '--', 'printf', 'well']), 'well')
  })

  it('is not revoked by a fingerprint that nobody alive has: that would do nothing', async () => {
    const refusal = { exit: 3, code: 'ZT-404-CERT' } as const
    // The second as `whoami` prints one in 64 of them: it begins as a flag does.
    for (const fingerprint of [`sha256:${'ab'.repeat(32)}`, `-V${'A'.repeat(41)}`]) {
      await mesh.refused(['revoke', fingerprint, '--yes'], refusal)
      await mesh.refused(['allow', fingerprint], refusal)
    }
  })

  it('is still refused by a hub and a node that were killed', async () => {
    await mesh.programs.kill('n1')
    await mesh.programs.kill('hub')
    await mesh.programs.startHub()
    mesh.programs.launchNode('n1')
    await eventually('the node to answer', async () =>
      (await mesh.ztctl(['ps', '-n', 'n1', '--request-timeout', '500ms'])).code === 0 ? true : undefined,
    )
    await eventually('the broker to be reached', () => (thief.channel.connected ? true : undefined))
    const alice = await BrokerThief.enter(mesh)
    try {
      const { nodeKey } = await alice.capability('n1', ['true'])
      const again = await thief.principal().command({ ...granted, nodeKey })
      assert.equal(await judgementOf(mesh.auditFile('n1'), again), REVOKED.code)
    } finally {
      await alice.leave()
    }
  })
})
