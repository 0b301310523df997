// A machine that was replaced still holds an SVID that lives for minutes: it must be worth nothing at the hub.
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { parseNodeName } from '#shared/identity/names.ts'
import { encKeyId, openEncKey } from '#shared/protocol/enc-key.ts'
import { startTestHub, type TestHub } from '#test/support/hub.ts'
import { operator, TestClient } from '#test/support/hub-client.ts'
import { connectNode, joinNode, machine, spawnCommand, TestNode } from '#test/support/hub-node.ts'
import { eventually, needsNats } from '#test/support/nats.ts'

describe('a machine that was replaced', { skip: needsNats }, () => {
  let hub: TestHub
  let alice: TestClient
  let old: TestNode
  let next: TestNode
  before(async () => {
    hub = await startTestHub()
    alice = await operator(hub)
    old = await joinNode(hub, alice, { name: 'moved' })
    const { join } = await alice.call('node.join-token', { node: parseNodeName('moved'), replace: true })
    next = await connectNode(hub, machine('moved', { epoch: 2 }), { join, ready: true })
  })
  after(async () => {
    await old?.close()
    await next?.close()
    await alice?.close()
    await hub?.stop()
  })

  for (const op of ['hello', 'anchor'] as const)
    it(`is refused its ${op}, whoever's connection it has`, async () => {
      const { identity, keys, credentials } = old.client
      const { channel } = next.client
      const voice = new TestClient(hub, { identity, keys, credentials, channel })
      const thief = new TestNode(voice, old.machine, old.log)
      await assert.rejects(thief[op](), { code: 'ZT-401-EVIDENCE' })
    })

  it('is not who commands are sealed to: capabilities carry the key of the new machine', async () => {
    const { zt } = await alice.token(spawnCommand(next.id))
    const { kid } = openEncKey(zt.node_key, { trust: alice.trust, now: Date.now(), owner: next.id })
    assert.equal(kid, encKeyId(next.client.keys.enc.publicKey))
  })

  it('is cut off from NATS', () =>
    eventually('the end of the connection', () => !old.client.channel.connected))
})
