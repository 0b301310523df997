// A message that was taken once is never taken again: not at once, not later, not after a restart, and not with
// anything about it left out.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ReceivingNode } from '#test/support/receiving-node.ts'

describe('a replayed envelope', () => {
  it('is refused the second time, and nothing runs again', async (test) => {
    const node = await ReceivingNode.create(test)
    const message = node.message(node.spawn())
    assert.equal((await node.deliver(message))?.ok, true)
    assert.equal(await node.refusal(message), 'ZT-409-REPLAY')
    assert.equal(node.keeper.started.length, 1)
    assert.deepEqual(node.lastRejection(), { code: 'ZT-409-REPLAY', check: 9 })
  })

  it('is refused after the agent was killed and started again', async (test) => {
    const node = await ReceivingNode.create(test)
    const message = node.message(node.spawn())
    await node.deliver(message)
    await node.restart()
    assert.equal(await node.refusal(message), 'ZT-409-REPLAY')
    assert.equal(node.keeper.started.length, 1)
  })

  it('runs once when fifty copies come at once', async (test) => {
    const node = await ReceivingNode.create(test)
    const message = node.message(node.spawn())
    const receipts = await Promise.all(Array.from({ length: 50 }, () => node.deliver(message)))
    assert.equal(receipts.filter((receipt) => receipt?.ok === true).length, 1)
    assert.equal(node.keeper.started.length, 1)
    assert.equal(node.rows('cmd.accepted').length, 1)
  })

  it('is refused under another nonce when its id is the same, and the other way round', async (test) => {
    const node = await ReceivingNode.create(test)
    const first = {
      jti: '5f0c9f8e-3c1c-4a55-9a0e-0d2f7b0e9f11',
      nonce: '97053963-771d-49cc-a4e3-20aad399c312',
    }
    assert.equal((await node.send(node.spawn(), { head: first }))?.ok, true)
    const sameId = node.message(node.spawn(), { head: { jti: first.jti } })
    const sameNonce = node.message(node.spawn(), { head: { nonce: first.nonce } })
    assert.equal(await node.refusal(sameId), 'ZT-409-REPLAY')
    assert.equal(await node.refusal(sameNonce), 'ZT-409-REPLAY')
  })

  it('is refused for as long as its time alone would let it in, when its sender was 30 s ahead', async (test) => {
    const node = await ReceivingNode.create(test)
    const ahead = Math.floor(node.clock.now() / 1000) + 30
    const message = node.message(node.spawn(), { head: { iat: ahead, exp: ahead + 60 } })
    assert.equal((await node.deliver(message))?.ok, true)
    for (const laterMs of [30_000, 29_000]) {
      node.clock.advance(laterMs)
      node.log.prune()
      assert.equal(await node.refusal(message), 'ZT-409-REPLAY')
    }
  })

  it('is refused by a store that is younger than the message, though it has never seen it', async (test) => {
    const node = await ReceivingNode.create(test)
    const old = Math.floor(node.clock.now() / 1000) - 5
    assert.equal(await node.refusal(node.message(node.spawn(), { head: { iat: old } })), 'ZT-408-STALE')
    assert.equal(node.keeper.started.length, 0)
  })
})
