// Attack: a node that was taken over asks for the identity of a task that was granted to another node, that was granted to
// nobody, or that was granted to the machine which had its name before.
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { parseNodeName, type ProcId } from '#shared/identity/names.ts'
import { decodeBase64url } from '#shared/encoding/base64url.ts'
import { startTestHub, type TestHub } from '#test/support/hub.ts'
import { operator, TestClient } from '#test/support/hub-client.ts'
import { connectNode, joinNode, machine, procId, spawnCommand, TestNode } from '#test/support/hub-node.ts'
import { needsNats } from '#test/support/nats.ts'
import { askJwt, askSvid, grantTask } from '#test/support/task-on-hub.ts'

describe('the identity of a task', { skip: needsNats }, () => {
  let hub: TestHub
  let alice: TestClient
  let own: TestNode
  let other: TestNode
  let task: ProcId
  before(async () => {
    hub = await startTestHub()
    alice = await operator(hub)
    own = await joinNode(hub, alice, { name: 'own' })
    other = await joinNode(hub, alice, { name: 'other' })
    task = await grantTask(alice, own)
  })
  after(async () => {
    await own?.close()
    await other?.close()
    await alice?.close()
    await hub?.stop()
  })

  it('is given to its own node', async () => {
    const { svid } = await askSvid(own, task)
    const proved = own.client.trust.validate(
      svid.map((der) => decodeBase64url(der, 'svid')),
      Date.now(),
    )
    assert.equal(proved.id, `spiffe://mesh.example/agent/reports/task/${task}`)
    assert.equal((await askJwt(own, task)).token.split('.').length, 3)
  })

  it('is not given to another node', async () => {
    await assert.rejects(askSvid(other, task), { code: 'ZT-403-TASK' })
    await assert.rejects(askJwt(other, task), { code: 'ZT-403-TASK' })
  })

  it('is not ended by another node', async () => {
    await assert.rejects(other.client.call('task.ended', { proc: task }), { code: 'ZT-403-TASK' })
    await askSvid(own, task)
  })

  it('is not given for a process that was never granted one', async () => {
    const plain = spawnCommand(own.id)
    await alice.token(plain)
    assert.ok(plain.op === 'process.spawn')
    for (const proc of [plain.proc, procId('nobody')]) {
      await assert.rejects(askSvid(own, proc), { code: 'ZT-403-TASK' })
      await assert.rejects(askJwt(own, proc), { code: 'ZT-403-TASK' })
    }
  })

  it('is not given to an operator, not even to the one who had it spawned', async () => {
    await assert.rejects(alice.call('task.jwt', { proc: task, audience: ['db'] }), { code: 'ZT-403-POLICY' })
  })

  it('is one for the whole mesh: no second node is granted a task of the same name', async () => {
    const caps = ['identity:reports', 'network']
    const cmd = spawnCommand(other.id, { proc: task, sandbox: { profile: 'default@1', caps } })
    await assert.rejects(alice.token(cmd), { code: 'ZT-409-IDENTIFIER' })
    await assert.rejects(askSvid(other, task), { code: 'ZT-403-TASK' })
  })

  it('is not given to a machine that was replaced, nor to the one that replaced it', async (t) => {
    const moved = await joinNode(hub, alice, { name: 'moved' })
    t.after(() => moved.close())
    const proc = await grantTask(alice, moved)
    const { join } = await alice.call('node.join-token', { node: parseNodeName('moved'), replace: true })
    const next = await connectNode(hub, machine('moved', { epoch: 2, boot: 'boot-2' }), { join, ready: true })
    t.after(() => next.close())
    const { identity, keys, credentials } = moved.client
    const voice = new TestClient(hub, { identity, keys, credentials, channel: next.client.channel })
    const thief = new TestNode(voice, moved.machine, moved.log)
    await assert.rejects(askSvid(thief, proc), { code: 'ZT-401-EVIDENCE' })
    await assert.rejects(askJwt(thief, proc), { code: 'ZT-401-EVIDENCE' })
    await assert.rejects(askSvid(next, proc), { code: 'ZT-403-TASK' })
  })
})
