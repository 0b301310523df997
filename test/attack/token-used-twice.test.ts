// A capability is one use. Two envelopes around the same token are two messages, so the nonce does not catch them: the
// token's own id does, in the transaction that accepts the command.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ReceivingNode } from '#test/support/receiving-node.ts'

describe('a token that is used twice', () => {
  it('runs once', async (test) => {
    const node = await ReceivingNode.create(test)
    const cmd = node.spawn()
    const token = node.token(cmd)
    assert.equal((await node.send(cmd, { token }))?.ok, true)
    assert.equal(await node.refusal(node.message(cmd, { token })), 'ZT-409-CONSUMED')
    assert.deepEqual(node.lastRejection(), { code: 'ZT-409-CONSUMED', check: 17 })
    assert.equal(node.keeper.started.length, 1)
  })

  it('runs once when it is used fifty times at once', async (test) => {
    const node = await ReceivingNode.create(test)
    const cmd = node.spawn()
    const token = node.token(cmd)
    const messages = Array.from({ length: 50 }, () => node.message(cmd, { token }))
    const receipts = await Promise.all(messages.map((message) => node.deliver(message)))
    const codes = receipts.map((receipt) => (receipt?.ok === false ? receipt.error.code : 'ran'))
    assert.equal(codes.filter((code) => code === 'ran').length, 1)
    assert.deepEqual(new Set(codes), new Set(['ran', 'ZT-409-CONSUMED']))
    assert.equal(node.keeper.started.length, 1)
    assert.equal(node.rows('cmd.accepted').length, 1)
    // What was prepared for the forty-nine others was let go of.
    assert.equal(node.keeper.released.length, 49)
  })

  it('runs once over a restart of the agent', async (test) => {
    const node = await ReceivingNode.create(test)
    const cmd = node.spawn()
    const token = node.token(cmd)
    await node.send(cmd, { token })
    await node.restart()
    assert.equal(await node.refusal(node.message(cmd, { token })), 'ZT-409-CONSUMED')
    assert.equal(node.keeper.started.length, 1)
  })

  it('stays used when the process could not be started', async (test) => {
    const node = await ReceivingNode.create(test)
    const cmd = node.spawn()
    const token = node.token(cmd)
    node.keeper.failures.set('start', new Error('no memory'))
    assert.equal((await node.send(cmd, { token }))?.ok, false)
    assert.equal(await node.refusal(node.message(cmd, { token })), 'ZT-409-CONSUMED')
    assert.equal(node.keeper.started.length, 0)
  })

  it('does not let a second token start the same process again', async (test) => {
    const node = await ReceivingNode.create(test)
    const cmd = node.spawn()
    assert.equal((await node.send(cmd))?.ok, true)
    assert.equal(await node.refusal(node.message(cmd)), 'ZT-409-IDENTIFIER')
    assert.equal(node.keeper.started.length, 1)
  })
})
