// Attack: the identity of a task is asked for when it should be no more: its process has ended, its node was started
// again, its time is over, or somebody in its line was revoked.
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { parseNodeName, type ProcId } from '#shared/identity/names.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { startTestHub, type TestHub } from '#test/support/hub.ts'
import { operator, type TestClient } from '#test/support/hub-client.ts'
import { connectNode, joinNode, type TestNode } from '#test/support/hub-node.ts'
import { needsNats } from '#test/support/nats.ts'
import { askJwt, askSvid, grantTask } from '#test/support/task-on-hub.ts'

describe('the identity of a task that is over', { skip: needsNats }, () => {
  let hub: TestHub
  let alice: TestClient
  let node: TestNode
  before(async () => {
    hub = await startTestHub()
    alice = await operator(hub)
    node = await joinNode(hub, alice, { name: 'n1' })
  })
  after(async () => {
    await node?.close()
    await alice?.close()
    await hub?.stop()
  })

  it('is not given once its node has said that it ended', async () => {
    const task = await grantTask(alice, node)
    await askSvid(node, task)
    await node.client.call('task.ended', { proc: task })
    await assert.rejects(askSvid(node, task), { code: 'ZT-403-TASK' })
    await assert.rejects(askJwt(node, task), { code: 'ZT-403-TASK' })
    // Said twice, since an answer can be lost.
    await node.client.call('task.ended', { proc: task })
  })

  it('is not given once the task itself was revoked, and to no other task less', async () => {
    const [task, other] = [await grantTask(alice, node), await grantTask(alice, node)]
    const id = parseSpiffeId(`spiffe://mesh.example/agent/reports/task/${task}`)
    await alice.call('revoke', { id, reason: 'stolen' })
    await assert.rejects(askSvid(node, task), { code: 'ZT-403-REVOKED' })
    await assert.rejects(askJwt(node, task), { code: 'ZT-403-REVOKED' })
    await askSvid(node, other)
  })

  it('is not given to a machine that was started again: no process outlives that', async (t) => {
    const before = await joinNode(hub, alice, { name: 'rebooted' })
    const granted = async (): Promise<ProcId> => {
      try {
        const task = await grantTask(alice, before)
        await askSvid(before, task)
        return task
      } finally {
        await before.close()
      }
    }
    const task = await granted()
    const again = await connectNode(hub, { ...before.machine, boot: 'boot-2' })
    t.after(() => again.close())
    await assert.rejects(askSvid(again, task), { code: 'ZT-403-TASK' })
  })

  it('is not given to a node that is revoked', async (t) => {
    const gone = await joinNode(hub, alice, { name: 'gone' })
    t.after(() => gone.close())
    const task = await grantTask(alice, gone)
    await alice.call('node.revoke', { node: parseNodeName('gone'), reason: 'lost' })
    await assert.rejects(askSvid(gone, task))
  })
})

describe('the identity of a task whose owner is revoked', { skip: needsNats }, () => {
  it('is not given', async (t) => {
    const hub = await startTestHub()
    t.after(() => hub.stop())
    const alice = await operator(hub)
    t.after(() => alice.close())
    const node = await joinNode(hub, alice, { name: 'n1' })
    t.after(() => node.close())
    const task = await grantTask(alice, node)
    await askSvid(node, task)
    // Who revokes himself may be cut off before the answer.
    await alice.call('revoke', { id: alice.id, reason: 'left' }).catch(() => undefined)
    await assert.rejects(askSvid(node, task), { code: 'ZT-403-REVOKED' })
    await assert.rejects(askJwt(node, task), { code: 'ZT-403-REVOKED' })
  })
})
