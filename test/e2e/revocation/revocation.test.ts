import assert from 'node:assert/strict'
import { Agent } from 'node:https'
import { after, before, describe, it } from 'node:test'
import { parseNodeName } from '#shared/identity/names.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { openDenyList, type DenyDocument, type DenyEntry } from '#shared/protocol/deny-list.ts'
import { exchangeForm, exchangeRequest } from '#shared/protocol/exchange.ts'
import { DENY_SUBJECT } from '#shared/protocol/subjects.ts'
import { startTestHub, type TestHub } from '#test/support/hub.ts'
import {
  certificateOf,
  FORM_POST,
  identityOf,
  login,
  operator,
  rawRequest,
  TestClient,
} from '#test/support/hub-client.ts'
import {
  attest,
  connectNode,
  joinNode,
  machine,
  spawnCommand,
  type TestNode,
} from '#test/support/hub-node.ts'
import { eventually, needsNats } from '#test/support/nats.ts'

const SVID_TTL_S = 8

describe('revocation', { skip: needsNats }, () => {
  let hub: TestHub
  let alice: TestClient
  let witness: TestNode
  const pushed: DenyDocument[] = []
  before(async () => {
    // Short lives, so that a test can wait for the end of one.
    hub = await startTestHub({ config: { svidTtlS: SVID_TTL_S } })
    alice = await operator(hub)
    witness = await joinNode(hub, alice, { name: 'witness' })
    witness.client.channel.subscribe(DENY_SUBJECT, ({ data }) => {
      const text = Buffer.from(data).toString('latin1')
      pushed.push(openDenyList(text, { trust: witness.client.trust, now: Date.now() }))
    })
    await witness.client.channel.flush()
  })
  after(async () => {
    await witness?.close()
    await alice?.close()
    await hub?.stop()
  })
  const again = async (): Promise<TestClient> => {
    await alice.close()
    alice = await operator(hub)
    return alice
  }

  describe('of a node', () => {
    let node: TestNode
    let ver = 0
    before(async () => {
      node = await joinNode(hub, await again(), { name: 'gone' })
      await alice.token(spawnCommand(node.id))
      const began = Date.now()
      ;({ ver } = await alice.call('node.revoke', { node: parseNodeName('gone'), reason: 'lost' }))
      await eventually('the deny list is pushed', () => pushed.some((list) => list.ver === ver))
      assert.ok(Date.now() - began < 1000, 'within a second')
    })

    it('is pushed to every node with its reason', () => {
      const entry = pushed.find((list) => list.ver === ver)?.entries.find((each) => each.value === node.id)
      assert.deepEqual([entry?.kind, entry?.reason], ['id', 'lost'])
    })

    it('closes its connection to NATS', async () => {
      await eventually('the connection ends', () => !node.client.channel.connected)
    })

    it('refuses its renewal', async () => {
      await assert.rejects(attest(hub, node.machine), { code: 'ZT-403-REVOKED' })
    })

    it('gives no tokens for it', async () => {
      await assert.rejects((await again()).token(spawnCommand(node.id)), { code: 'ZT-403-REVOKED' })
    })

    it('makes no join token for it', () =>
      assert.rejects(alice.call('node.join-token', { node: parseNodeName('gone'), replace: true }), {
        code: 'ZT-403-REVOKED',
      }))

    it('changes nothing when it is asked for again', async () => {
      assert.equal(
        (await alice.call('node.revoke', { node: parseNodeName('gone'), reason: 'again' })).ver,
        ver,
      )
    })

    it('survives kill -9 of the hub', async () => {
      await hub.restart()
      await assert.rejects(attest(hub, node.machine), { code: 'ZT-403-REVOKED' })
      const { nodes } = await (await again()).call('node.list', {})
      assert.equal(nodes.find((entry) => entry.id === node.id)?.state, 'revoked')
    })

    it('is lifted by an operator, when certificates from before have ended, and not before', async () => {
      const { ver: latest } = await alice
        .call('deny', {})
        .then(({ deny }) => openDenyList(deny, { trust: alice.trust, now: Date.now() }))
      assert.equal(latest, ver)
      let lifted = false
      await eventually('the last certificate has ended', async () => {
        try {
          await (await again()).call('allow', { id: node.id })
          lifted = true
        } catch (error) {
          assert.equal((error as { code: string }).code, 'ZT-403-REVOKED')
        }
        return lifted
      })
      await assert.rejects(attest(hub, node.machine), { code: 'ZT-401-EVIDENCE' })
      const next = machine('gone', { epoch: 2 })
      const back = await joinNode(hub, await again(), { name: 'gone', machine: next })
      assert.equal((await alice.token(spawnCommand(back.id))).token_type, 'N_A')
      await back.close()
    })
  })

  describe('of one certificate of a node', () => {
    let node: TestNode
    let next: TestNode
    const since = Math.floor(Date.now() / 1000) - 60
    before(async () => {
      node = await joinNode(hub, await again(), { name: 'copied' })
      const { thumbprint } = node.client.identity
      const done = await alice.call('revoke', { thumbprint, reason: 'disk copied', since })
      assert.equal(done.id, node.id)
    })
    after(async () => {
      await (next ?? node)?.close()
    })
    const entryNow = async (): Promise<DenyEntry | undefined> => {
      const { deny } = await (await again()).call('deny', {})
      const { entries } = openDenyList(deny, { trust: alice.trust, now: Date.now() })
      return entries.find(({ value }) => value === node.client.identity.thumbprint)
    }

    it('is on the list with whose it is, until when it lives and since when its data is suspect', async () => {
      const entry = await entryNow()
      assert.deepEqual([entry?.kind, entry?.id, entry?.since], ['thumbprint', node.id, since])
      assert.equal((entry?.exp ?? 0) * 1000 >= node.client.identity.notAfter, true)
    })

    it('closes its connection to NATS', () =>
      eventually('the connection ends', () => !node.client.channel.connected))

    it('does not keep the node from its next certificate, with which it goes on', async () => {
      await node.close()
      next = await connectNode(hub, node.machine, { ready: false })
      await next.hello()
      assert.notEqual(next.client.identity.thumbprint, node.client.identity.thumbprint)
      const { nodes } = await (await again()).call('node.list', {})
      assert.equal(nodes.find(({ id }) => id === node.id)?.state, 'joined')
    })

    it('survives kill -9 of the hub', async () => {
      await hub.restart()
      assert.notEqual(await entryNow(), undefined)
    })

    it('is closed when it is allowed, and stays in the list', async () => {
      await (await again()).call('allow', { thumbprint: node.client.identity.thumbprint })
      const entry = await entryNow()
      assert.equal(typeof entry?.until, 'number')
      assert.deepEqual([entry?.since, entry?.reason], [since, 'disk copied'])
    })
  })

  describe('of an operator', () => {
    let bob: TestClient
    let agent: Agent
    before(async () => {
      const { response, keys } = await login(hub)
      const identity = identityOf(response.id, response, keys)
      bob = await TestClient.connect(hub, identity, { keys, credentials: response })
      agent = new Agent({ keepAlive: true, maxSockets: 1, maxCachedSessions: 0, ...certificateOf(identity) })
      const body = exchangeForm(exchangeRequest(spawnCommand(witness.id), bob.idToken()))
      await rawRequest(hub, '/oauth/token', { ...FORM_POST, agent, body })
      await bob.call('revoke', { id: bob.id, reason: 'left' }).catch(() => undefined)
    })
    after(async () => {
      agent.destroy()
      await bob.close()
    })

    it('is refused on an HTTPS connection that was open before', async () => {
      const body = exchangeForm(exchangeRequest(spawnCommand(witness.id), bob.idToken()))
      const answer = await rawRequest(hub, '/oauth/token', { ...FORM_POST, agent, body })
      assert.equal((answer.body['zt'] as Record<string, unknown>)['code'], 'ZT-403-REVOKED')
    })

    it('is not let in again by logging in', () => assert.rejects(login(hub), { code: 'ZT-403-REVOKED' }))

    it('closes the connection to NATS', () => eventually('the connection ends', () => !bob.channel.connected))
  })

  it('is not for hubs and brokers', async () => {
    const other = await startTestHub()
    const op = await operator(other)
    for (const id of [other.id, other.natsId, 'spiffe://other.example/node/n1'])
      await assert.rejects(op.call('revoke', { id: parseSpiffeId(id), reason: 'x' }), {
        code: 'ZT-422-SPIFFE-ID',
      })
    await assert.rejects(op.call('node.revoke', { node: parseNodeName('nobody'), reason: 'x' }), {
      code: 'ZT-404-NODE',
    })
    await op.close()
    await other.stop()
  })
})
