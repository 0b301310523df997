// A node that is revoked is cut off within a second: nothing is granted for it, its connection to the broker is closed,
// and neither it nor a thief of everything on its disk is admitted again. It stays so when hub and agent start again.
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { admit, type Admission } from '#node-agent/attest/admission.ts'
import { deviceKeyAttestor } from '#node-agent/attest/device-key.ts'
import { loadDeviceKey } from '#node-agent/state/device-key.ts'
import { loadLogKey } from '#node-agent/state/log-key.ts'
import { loadMembership } from '#node-agent/state/membership.ts'
import { statePaths } from '#node-agent/state/state-dir.ts'
import { bootId } from '#shared/host/boot-id.ts'
import type { Channel } from '#shared/host/channel.ts'
import { systemClock } from '#shared/host/clock.ts'
import { HubHttps } from '#shared/host/hub-https.ts'
import { silentLogger } from '#shared/host/logger.ts'
import { connectNats } from '#shared/host/nats-channel.ts'
import { parseNodeName } from '#shared/identity/names.ts'
import { createNoteSigner } from '#shared/log/note.ts'
import { judgementOf, rowsOf } from '#test/support/audit-rows.ts'
import { BrokerThief } from '#test/support/broker-thief.ts'
import { eventually } from '#test/support/eventually.ts'
import { needsMesh, startTestMesh, type TestMesh } from '#test/support/mesh.ts'
import { Principal, type Granted } from '#test/support/principal.ts'
import { processesOfArgv } from '#test/support/process-table.ts'

const REVOKED = { code: 'ZT-403-REVOKED' } as const
// What begins this long after the command that revoked has returned, must be refused.
const FELT_WITHIN_MS = 1_000
/** A command that nobody else on this machine runs. */
const SLEEP = ['sleep', `${randomInt(100_000, 900_000)}.${randomInt(100_000, 900_000)}`]

describe('a revoked node', { skip: needsMesh }, () => {
  let mesh: TestMesh
  let thief: BrokerThief
  let stolen: Admission
  let stolenChannel: Channel
  let granted: Granted
  let revokedAt = 0

  /** What somebody can do who has copied the state folder of n1. */
  const admitThief = (): Promise<Admission> => {
    const paths = statePaths(join(mesh.programs.nodeDir('n1'), 'state'))
    const [membership, device, logKey] = [
      loadMembership(paths.membership),
      loadDeviceKey(paths.deviceKey),
      loadLogKey(paths.logKey),
    ]
    if (membership === undefined || device === undefined || logKey === undefined)
      throw new Error('not a node')
    const { trust } = thief.stolen
    const { hub: url, hubId, id, logOrigin } = membership
    return admit({
      https: new HubHttps({ url, hubId, trust, clock: systemClock }),
      attestor: deviceKeyAttestor(device),
      trust,
      clock: systemClock,
      hubId,
      node: parseNodeName('n1'),
      nodeId: id,
      log: { origin: logOrigin, vkey: createNoteSigner(logOrigin, logKey).vkey },
      boot: bootId(),
      keepBundle: () => undefined,
    })
  }

  /** Over the connection that hears and may say everything, with the identity of n1. */
  const asNode = (): Principal => {
    const { session, trust, options } = thief.stolen
    const hubKey = session.credentials.hub_key
    const { hubId } = options.context
    const { identity } = stolen
    assert.ok('key' in identity)
    return new Principal({ identity, trust, hubId, hubKey, channel: thief.channel })
  }

  before(async () => {
    mesh = await startTestMesh({ nodes: ['n1', 'n2'] })
    thief = await BrokerThief.enter(mesh)
    stolen = await admitThief()
    stolenChannel = await connectNats({
      servers: [`127.0.0.1:${mesh.programs.natsPort}`],
      identity: { ...stolen.link, ...stolen.identity },
      credentials: stolen.credentials,
      trust: thief.stolen.trust,
      expectServer: thief.stolen.session.credentials.nats.serverId,
      clock: systemClock,
      log: silentLogger,
    })
    const first = await thief.capability('n1', SLEEP)
    assert.equal(await judgementOf(mesh.auditFile('n1'), await thief.principal().command(first)), 'accepted')
    await eventually('it to run', () => (processesOfArgv(SLEEP).length === 1 ? true : undefined))
    granted = await thief.capability('n1', SLEEP)
    await mesh.out(['node', 'revoke', 'n1', '--yes', '--reason', 'lost'])
    revokedAt = performance.now()
  })
  after(async () => {
    await stolenChannel?.close()
    await thief?.leave()
    await mesh?.end()
  })

  const inTime = (): void => {
    assert.ok(performance.now() - revokedAt < FELT_WITHIN_MS, 'all of it within a second')
  }

  it('is refused at once by the hub, by the broker and at its renewal', async () => {
    await thief.principal().command(granted)
    const asked = await asNode().ask('deny', {})
    await assert.rejects(admitThief(), REVOKED)
    await assert.rejects(thief.capability('n1', SLEEP), REVOKED)
    await eventually('its connection to be closed', () => (stolenChannel.connected ? undefined : true), 1_000)
    assert.equal(await judgementOf(mesh.hubLog, asked), REVOKED.code)
    inTime()
  })

  it('is given no work by any verb, and no new name', async () => {
    await mesh.refused(['run', '-n', 'n1', '--', 'true'], { exit: 125, ...REVOKED })
    await mesh.refused(['ps', '-n', 'n1'], { exit: 4, ...REVOKED })
    await mesh.refused(['node', 'join-token', 'n1'], { exit: 4, ...REVOKED })
    await mesh.refused(['node', 'join-token', '--replace', 'n1'], { exit: 4, ...REVOKED })
    assert.match(await mesh.out(['node', 'ls']), /^n1 +revoked /m)
  })

  it('takes nobody with it', async () => {
    assert.equal(await mesh.out(['run', '-n', 'n2', '--', 'printf', 'well']), 'well')
  })

  it('is still refused by a hub that was killed, and when its agent was', async () => {
    await mesh.programs.kill('n1')
    await mesh.programs.kill('hub')
    await mesh.programs.startHub()
    mesh.programs.launchNode('n1')
    const from = rowsOf(mesh.hubLog).length
    await eventually('its agent to be refused', () =>
      rowsOf(mesh.hubLog)
        .slice(from)
        .some((row) => row.type === 'node.refused' && row.code === REVOKED.code)
        ? true
        : undefined,
    )
    await assert.rejects(admitThief(), REVOKED)
    await mesh.refused(['run', '-n', 'n1', '--', 'true'], { exit: 125, ...REVOKED })
    assert.match(await mesh.out(['node', 'ls']), /^n1 +revoked /m)
  })

  it('has run nothing since', () => {
    const spawns = rowsOf(mesh.auditFile('n1')).filter(
      (row) => row.type === 'cmd.accepted' && row.obj?.['op'] === 'process.spawn',
    )
    assert.deepEqual([spawns.length, processesOfArgv(SLEEP).length], [1, 1])
  })
})
