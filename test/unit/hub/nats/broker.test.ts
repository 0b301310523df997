// The broker as a whole, with a real nats-server: who may say what, and for how long.
import assert from 'node:assert/strict'
import { chmod, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import type { Channel, ChannelStatus, ChannelMessage } from '#shared/host/channel.ts'
import { systemClock } from '#shared/host/clock.ts'
import { silentLogger } from '#shared/host/logger.ts'
import { connectNats } from '#shared/host/nats-channel.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { principalTag } from '#shared/identity/principal-tag.ts'
import { generateNkey } from '#shared/nats/nkeys.ts'
import { startBroker } from '#hub/nats/broker.ts'
import { openNatsAuthority } from '#hub/nats/authority.ts'
import { MemoryStore, TRUST_DOMAIN, eventually, needsNats, testMesh } from '#test/support/nats.ts'

const idOf = (path: string) => parseSpiffeId(`spiffe://${TRUST_DOMAIN}${path}`)
const tagOf = (path: string): string => principalTag(idOf(path))
const ask = { timeoutMs: 3_000, unreachable: 'ZT-503-NODE' } as const
const X = Buffer.from('x')

function statuses(channel: Channel): ChannelStatus[] {
  const seen: ChannelStatus[] = []
  channel.onStatus((status) => seen.push(status))
  return seen
}

describe('subjects of a principal', { skip: needsNats }, () => {
  const ann = tagOf('/operator/ann')
  const bob = tagOf('/operator/bob')
  const notToHear: Record<string, readonly string[]> = {
    '/node/n1': [
      '>',
      'zt.>',
      'zt.node.>',
      'zt.node.n1.>',
      'zt.node.n2.cmd',
      'zt.node.*.cmd',
      'zt.node.n2.ack.>',
      'zt.hub.token',
      'zt.anchor.n1',
      `zt.inbox.${ann}.>`,
      'zt.inbox.>',
      '_INBOX.>',
      '$SYS.>',
      '$JS.>',
    ],
    '/operator/bob': [
      '>',
      'zt.node.*.cmd',
      'zt.node.n1.cmd',
      'zt.node.*.out.>',
      `zt.node.*.out.*.${ann}.*`,
      `zt.inbox.${ann}.>`,
      'zt.deny',
      'zt.hub.>',
      '$SYS.>',
    ],
  }
  for (const [path, subjects] of Object.entries(notToHear)) {
    it(`${path} cannot listen where it has no business`, async (test) => {
      const mesh = await testMesh(test)
      const channel = await mesh.channel(path)
      for (const subject of subjects) {
        const subscription = channel.subscribe(subject, () => assert.fail(`${subject} was heard`))
        const refusal = await subscription.ended
        assert.equal(refusal?.code, 'ZT-403-SUBJECT', subject)
      }
    })
  }

  const notToSay: Record<string, readonly string[]> = {
    '/node/n1': [
      'zt.node.n2.cmd',
      'zt.node.n1.cmd',
      `zt.node.n2.out.p-1.${ann}.s`,
      'zt.anchor.n2',
      'zt.deny',
      `zt.inbox.${ann}.x`,
      'zt.hub.hello',
      `zt.hub.hello.${ann}`,
      `zt.hub.hello.${tagOf('/node/n2')}`,
      '$SYS.REQ.SERVER.PING',
    ],
    '/operator/bob': [
      `zt.hub.token.${ann}`,
      `zt.hub.node.list.${ann}`,
      `zt.hub.${bob}`,
      `zt.node.n1.out.p-1.${bob}.s`,
      `zt.node.n1.ack.p-1.${ann}.s`,
      `zt.inbox.${ann}.x`,
      'zt.anchor.n1',
      'zt.deny',
      '$SYS.REQ.SERVER.PING',
    ],
  }
  for (const [path, subjects] of Object.entries(notToSay)) {
    it(`${path} cannot speak where it has no business`, async (test) => {
      const mesh = await testMesh(test)
      const [channel, hub] = [await mesh.channel(path), await mesh.broker.connect(mesh.options.identity)]
      test.after(() => hub.close())
      const heard: string[] = []
      hub.subscribe('zt.>', ({ subject }) => {
        heard.push(subject)
      })
      await hub.flush()
      const seen = statuses(channel)
      for (const subject of subjects) channel.publish(subject, X)
      await channel.flush()
      await eventually('every refusal', () => seen.length === subjects.length)
      assert.deepEqual(
        seen.map((status) => (status.kind === 'refused' ? status.subject : status.kind)),
        subjects,
      )
      await hub.flush()
      assert.deepEqual(heard, [])
    })
  }

  it('a request to a forbidden subject is refused, not lost', async (test) => {
    const mesh = await testMesh(test)
    const channel = await mesh.channel('/node/n1')
    await assert.rejects(channel.request('zt.node.n2.cmd', X, ask), { code: 'ZT-403-SUBJECT' })
  })

  it('a node may answer a request once, to its reply subject only', async (test) => {
    const mesh = await testMesh(test)
    const [node, caller] = [await mesh.channel('/node/n1'), await mesh.channel('/operator/ann')]
    const answers: string[] = []
    const inbox = caller.newInbox()
    caller.subscribe(inbox, ({ data }) => {
      answers.push(data.toString())
    })
    const seen = statuses(node)
    node.subscribe('zt.node.n1.cmd', (message) => {
      message.respond(Buffer.from('first'))
      message.respond(Buffer.from('second'))
    })
    await Promise.all([node.flush(), caller.flush()])
    caller.publish('zt.node.n1.cmd', X, { replyTo: inbox })
    await eventually('the refusal', () => seen.length === 1)
    assert.deepEqual(seen, [{ kind: 'refused', operation: 'publish', subject: inbox }])
    await caller.flush()
    assert.equal(answers.length, 1)
  })

  it('the hub hears and speaks on every subject of the mesh, and none of the server', async (test) => {
    const mesh = await testMesh(test)
    const hub = await mesh.broker.connect(mesh.options.identity)
    test.after(() => hub.close())
    const node = await mesh.channel('/node/n1')
    const subject = `zt.hub.hello.${tagOf('/node/n1')}`
    hub.subscribe('zt.hub.>', (message) => message.respond(message.data))
    await hub.flush()
    assert.equal((await node.request(subject, X, ask)).data.toString(), 'x')
    const refusal = await hub.subscribe('$SYS.>', () => undefined).ended
    assert.equal(refusal?.code, 'ZT-403-SUBJECT')
  })
})

describe('the life of a user JWT', { skip: needsNats }, () => {
  it('the server closes the connection when the token ends', async (test) => {
    const mesh = await testMesh(test)
    const user = await mesh.user('/node/n1')
    // Shorter than its identity, so that it is the server which ends it.
    const expires = Date.now() + 2_000
    const jwt = mesh.broker.userJwt({ id: user.identity.id, publicKey: user.key.publicKey, expires })
    const channel = await mesh.connect({ ...user, jwt })
    const seen = statuses(channel)
    await eventually('the refusal', () => seen.some(({ kind }) => kind === 'unauthorized'))
    assert.ok(seen.some(({ kind }) => kind === 'disconnected'))
    assert.equal(channel.connected, false)
  })

  it('a channel ends by itself when its identity ends', async (test) => {
    const mesh = await testMesh(test)
    const channel = await mesh.connect(await mesh.user('/node/n1', 1_500))
    assert.deepEqual(await channel.closed, { kind: 'expired' })
    assert.throws(() => channel.publish('zt.hub.hello', X), { code: 'ZT-503-NATS' })
  })

  it('an expired token is refused', async (test) => {
    const mesh = await testMesh(test)
    const user = await mesh.user('/node/n1')
    const late = { ...systemClock, now: () => Date.now() - 300_000 }
    const authority = await openNatsAuthority({ store: mesh.store, clock: late })
    const expires = Date.now() - 1_000
    const jwt = authority.userJwt({ id: user.identity.id, publicKey: user.key.publicKey, expires })
    await assert.rejects(mesh.connect({ ...user, jwt }), { code: 'ZT-401-SESSION' })
  })

  it('a token is worth nothing without its key', async (test) => {
    const mesh = await testMesh(test)
    const [ann, thief] = [await mesh.user('/operator/ann'), await mesh.user('/operator/thief')]
    await assert.rejects(mesh.connect({ ...thief, jwt: ann.jwt }), { code: 'ZT-401-SESSION' })
  })

  it('a token of another authority is refused', async (test) => {
    const mesh = await testMesh(test)
    const user = await mesh.user('/node/n1')
    const other = await openNatsAuthority({ store: new MemoryStore(), clock: systemClock })
    const jwt = other.userJwt({
      id: user.identity.id,
      publicKey: user.key.publicKey,
      expires: user.identity.notAfter,
    })
    await assert.rejects(mesh.connect({ ...user, jwt }), { code: 'ZT-401-SESSION' })
  })
})

describe('revocation', { skip: needsNats }, () => {
  it('closes the live connection within a second, and refuses the next', async (test) => {
    const mesh = await testMesh(test)
    const user = await mesh.user('/node/n1')
    const channel = await mesh.connect(user)
    const neighbour = await mesh.channel('/node/n2')
    const [seen, undisturbed] = [statuses(channel), statuses(neighbour)]
    const started = performance.now()
    await mesh.broker.revoke([user.key.publicKey])
    await eventually('the end of the connection', () => !channel.connected)
    assert.ok(performance.now() - started < 1_000)
    await eventually('a refused attempt', () => seen.filter(({ kind }) => kind === 'unauthorized').length > 1)
    assert.equal(channel.connected, false)
    await assert.rejects(mesh.connect(user), { code: 'ZT-401-SESSION' })
    await neighbour.flush()
    assert.deepEqual(undisturbed, [])
  })

  it('leaves the same principal with another key alone', async (test) => {
    const mesh = await testMesh(test)
    const [old, fresh] = [await mesh.user('/node/n1'), await mesh.user('/node/n1')]
    await mesh.broker.revoke([old.key.publicKey])
    await mesh.connect(fresh)
    await assert.rejects(mesh.connect(old), { code: 'ZT-401-SESSION' })
  })

  it('stands after kill -9 of nats-server', async (test) => {
    const mesh = await testMesh(test)
    const user = await mesh.user('/node/n1')
    await mesh.broker.revoke([user.key.publicKey])
    const before = mesh.broker.serverPid ?? 0
    process.kill(before, 'SIGKILL')
    await eventually('another server', () => ![before, undefined].includes(mesh.broker.serverPid))
    const neighbour = await mesh.user('/node/n2')
    await eventually('a connection', () =>
      mesh.connect(neighbour).then(
        () => true,
        () => false,
      ),
    )
    await assert.rejects(mesh.connect(user), { code: 'ZT-401-SESSION' })
  })

  it('that is asked for while no server runs is in force in the next', async (test) => {
    const mesh = await testMesh(test)
    const user = await mesh.user('/node/n1')
    const channel = await mesh.connect(user)
    const seen = statuses(channel)
    process.kill(mesh.broker.serverPid ?? 0, 'SIGKILL')
    await mesh.broker.revoke([user.key.publicKey])
    await eventually('a refused attempt', () => seen.some(({ kind }) => kind === 'unauthorized'))
    assert.equal(channel.connected, false)
  })

  it('stands after a restart of the hub', async (test) => {
    const mesh = await testMesh(test)
    const user = await mesh.user('/node/n1')
    await mesh.broker.revoke([user.key.publicKey])
    await mesh.broker.close()
    mesh.broker = await startBroker(mesh.options)
    await assert.rejects(mesh.connect(user), { code: 'ZT-401-SESSION' })
    await mesh.channel('/node/n2')
  })

  it('reaches the server by its files when the system connection is gone', async (test) => {
    const mesh = await testMesh(test)
    const identity = await mesh.authority.identity('/hub/h1', { notAfter: Date.now() + 1_000 })
    await mesh.broker.renew(identity)
    const user = await mesh.user('/node/n1')
    const channel = await mesh.connect(user)
    const neighbour = await mesh.channel('/node/n2')
    const undisturbed = statuses(neighbour)
    await eventually('the end of the hub identity', () => Date.now() > identity.notAfter + 50)
    await mesh.broker.revoke([user.key.publicKey])
    await eventually('the end of the connection', () => !channel.connected)
    await neighbour.flush()
    assert.deepEqual(undisturbed, [])
    await assert.rejects(mesh.connect(user), { code: 'ZT-401-SESSION' })
  })

  it('is not undone by a reload, which disturbs nobody else', async (test) => {
    const mesh = await testMesh(test)
    const user = await mesh.user('/node/n1')
    const neighbour = await mesh.channel('/node/n2')
    const undisturbed = statuses(neighbour)
    await mesh.broker.revoke([user.key.publicKey])
    process.kill(mesh.broker.serverPid ?? 0, 'SIGHUP')
    const log = join(mesh.options.dir, 'nats-server.log')
    await eventually('the reload', async () =>
      (await readFile(log, 'utf8')).includes('Reloaded server configuration'),
    )
    await assert.rejects(mesh.connect(user), { code: 'ZT-401-SESSION' })
    await neighbour.flush()
    assert.deepEqual(undisturbed, [])
  })

  it('of text that is no user key is refused', async (test) => {
    const mesh = await testMesh(test)
    for (const key of [generateNkey('account').publicKey, '*', '', 'U'.repeat(56)]) {
      await assert.rejects(mesh.broker.revoke([key]), { code: 'ZT-422-SCHEMA' })
    }
  })
})

describe('the server', { skip: needsNats }, () => {
  it('is started again after kill -9, on its port, and every channel comes back', async (test) => {
    const mesh = await testMesh(test)
    const [node, caller] = [await mesh.channel('/node/n1'), await mesh.channel('/operator/ann')]
    node.subscribe('zt.node.n1.cmd', (message) => message.respond(message.data))
    await node.flush()
    process.kill(mesh.broker.serverPid ?? 0, 'SIGKILL')
    await eventually('the disconnection', () => !caller.connected && !node.connected)
    assert.throws(() => caller.publish('zt.node.n1.cmd', X), { code: 'ZT-503-NATS' })
    await eventually('the node', () => node.connected)
    // Sent after the node came back: the caller's channel waits for its own connection.
    const answer = await caller.request('zt.node.n1.cmd', X, { ...ask, timeoutMs: 10_000 })
    assert.equal(answer.data.toString(), 'x')
  })

  it('lets a node answer what it was asked before the server read its configuration again', async (test) => {
    const mesh = await testMesh(test)
    const [node, caller] = [await mesh.channel('/node/n1'), await mesh.channel('/operator/ann')]
    const { promise: asked, resolve: heard } = Promise.withResolvers<ChannelMessage>()
    node.subscribe('zt.node.n1.cmd', heard)
    await node.flush()
    const answer = caller.request('zt.node.n1.cmd', X, { ...ask, timeoutMs: 10_000 })
    const message = await asked
    await mesh.broker.setCertificate(await mesh.authority.identity('/nats/h1'))
    message.respond(message.data)
    assert.equal((await answer).data.toString(), 'x')
  })

  it('takes a new certificate without dropping anybody', async (test) => {
    const mesh = await testMesh(test)
    const channel = await mesh.channel('/node/n1')
    const seen = statuses(channel)
    await mesh.broker.setCertificate(await mesh.authority.identity('/nats/h1'))
    await channel.flush()
    assert.deepEqual(seen, [])
    await mesh.channel('/node/n2')
  })

  it('serves a certificate of another name to nobody', async (test) => {
    const mesh = await testMesh(test)
    await mesh.broker.setCertificate(await mesh.authority.identity('/nats/h2'))
    await assert.rejects(mesh.channel('/node/n1'), { code: 'ZT-401-CERT' })
  })

  it('keeps its key and its configuration to itself', async (test) => {
    const mesh = await testMesh(test)
    const mode = async (...path: string[]): Promise<number> =>
      (await stat(join(mesh.options.dir, ...path))).mode & 0o777
    assert.equal(await mode(), 0o700)
    assert.equal(await mode('identity.pem'), 0o600)
    assert.equal(await mode('nats-server.json'), 0o600)
    await mesh.broker.close()
    await chmod(mesh.options.dir, 0o755)
    mesh.broker = await startBroker(mesh.options)
    assert.equal(await mode(), 0o700)
  })

  it('leaves no key behind: not after close(), and none of a hub that was killed while it wrote one', async (test) => {
    const mesh = await testMesh(test)
    const keys = async (): Promise<string[]> =>
      (await readdir(mesh.options.dir)).filter((name) => name.startsWith('identity.pem'))
    await writeFile(join(mesh.options.dir, 'identity.pem.half'), 'x')
    await mesh.broker.close()
    await writeFile(join(mesh.options.dir, 'identity.pem.half'), 'x')
    await assert.rejects(startBroker({ ...mesh.options, binary: '/nonexistent/nats-server' }))
    assert.deepEqual(await keys(), [])
    mesh.broker = await startBroker(mesh.options)
    assert.deepEqual(await keys(), ['identity.pem'])
    const closed = mesh.broker.close()
    await mesh.broker.revoke([generateNkey('user').publicKey])
    await closed
    assert.deepEqual(await keys(), [])
  })

  it('is gone after close()', async (test) => {
    const mesh = await testMesh(test)
    const pid = mesh.broker.serverPid ?? 0
    await mesh.broker.close()
    assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
  })

  it('says so if it cannot be started', async (test) => {
    const mesh = await testMesh(test)
    await mesh.broker.close()
    await assert.rejects(startBroker({ ...mesh.options, binary: '/nonexistent/nats-server' }), {
      code: 'ZT-503-NATS',
    })
    mesh.broker = await startBroker(mesh.options)
    await assert.rejects(startBroker({ ...mesh.options, dir: `${mesh.options.dir}-2` }), {
      code: 'ZT-503-NATS',
    })
  })

  it('refuses a client certificate of another root', async (test) => {
    const [mesh, other] = [await testMesh(test), await testMesh(test)]
    const [ours, theirs] = [await mesh.user('/node/n1'), await other.user('/node/n1')]
    await assert.rejects(
      connectNats({
        servers: [`127.0.0.1:${mesh.options.port}`],
        identity: theirs.identity,
        credentials: { jwt: ours.jwt, key: ours.key },
        trust: mesh.options.trust,
        expectServer: mesh.options.serverId,
        clock: systemClock,
        log: silentLogger,
      }),
      { code: 'ZT-401-SESSION' },
    )
  })

  it('refuses an expired client certificate', async (test) => {
    const mesh = await testMesh(test)
    const user = await mesh.user('/node/n1')
    const identity = await mesh.authority.identity('/node/n1', { notAfter: Date.now() - 1_000 })
    await assert.rejects(mesh.connect({ ...user, identity }), { code: 'ZT-401-SESSION' })
  })
})
