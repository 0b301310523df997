// A capability for one node is worth nothing on another, nor on the same node after it was started or joined again.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { ReceivingNode } from '#test/support/receiving-node.ts'

const OTHER = parseSpiffeId('spiffe://mesh.example/node/build-box')

describe('a token for another node', () => {
  it('is refused, although the command names this one', async (test) => {
    const node = await ReceivingNode.create(test)
    const message = node.message(node.spawn(), { claims: { aud: OTHER } })
    assert.equal(await node.refusal(message), 'ZT-401-TOKEN')
    assert.deepEqual(node.lastRejection(), { code: 'ZT-401-TOKEN', check: 10 })
    assert.equal(node.keeper.started.length, 0)
  })

  it('is refused with the command that it was made for, which names the other node', async (test) => {
    const node = await ReceivingNode.create(test)
    const message = node.message(node.spawn({ node: OTHER }), { claims: { aud: OTHER } })
    assert.equal(await node.deliver(message), undefined)
    assert.deepEqual(node.lastRejection(), { code: 'ZT-421-MISDIRECTED', check: 7 })
  })

  it('is refused in an envelope that was sealed here but is addressed elsewhere', async (test) => {
    const node = await ReceivingNode.create(test)
    const elsewhere: Record<string, object> = {
      'the audience': { aud: OTHER },
      'the channel': { chan: 'nats:zt.node.build-box.cmd' },
      'the issuer': { iss: 'spiffe://mesh.example/operator/eve' },
    }
    for (const [what, head] of Object.entries(elsewhere)) {
      const message = node.message(node.spawn(), { head: { ...head } })
      assert.equal(await node.deliver(message), undefined, what)
      assert.deepEqual(node.lastRejection(), { code: 'ZT-421-MISDIRECTED', check: 7 }, what)
    }
    assert.equal(node.keeper.started.length, 0)
  })

  it('is refused when it came on another subject, or wants its answer at somebody else', async (test) => {
    const node = await ReceivingNode.create(test)
    const message = node.message(node.spawn())
    assert.equal(await node.deliver(message, { subject: 'zt.node.build-box.cmd' }), undefined)
    assert.deepEqual(node.lastRejection(), { code: 'ZT-421-MISDIRECTED', check: 7 })
    assert.equal(await node.deliver(message, { replyTo: 'zt.inbox.aaaaaaaaaaaaaaaaaaaa.x' }), undefined)
    assert.deepEqual(node.lastRejection(), { code: 'ZT-421-MISDIRECTED', check: 7 })
  })

  it('is refused after a reboot, and after the node has joined again', async (test) => {
    const node = await ReceivingNode.create(test)
    const stale = [
      { boot: '11111111-1111-4111-8111-111111111111', fence: 7 },
      { boot: '0b7c2f6e-5d1a-4c3b-9a8f-1e2d3c4b5a69', fence: 6 },
    ]
    for (const claims of stale) {
      assert.equal(
        await node.refusal(node.message(node.spawn(), { claims: { node: claims } })),
        'ZT-401-TOKEN',
      )
    }
    assert.equal(node.keeper.started.length, 0)
  })
})
