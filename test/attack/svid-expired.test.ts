// An SVID is worth five minutes, and its end is looked at for every message: not when a connection was made, and not when
// the certificate was seen for the first time.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ReceivingNode } from '#test/support/receiving-node.ts'

describe('an expired SVID', () => {
  it('is refused, although the same certificate was accepted before over the same connection', async (test) => {
    const node = await ReceivingNode.create(test)
    assert.equal((await node.send(node.spawn()))?.ok, true)
    node.clock.advance(301_000)
    const hub = node.pki.identity('/hub/h1', node.clock.now())
    assert.equal(await node.deliver(node.message(node.spawn(), { hub })), undefined)
    assert.deepEqual(node.lastRejection(), { code: 'ZT-401-CERT', check: 4, reason: 'expired' })
    assert.equal(node.keeper.started.length, 1)
  })

  it('is refused before its time too', async (test) => {
    const node = await ReceivingNode.create(test)
    const signer = node.pki.identity('/operator/ann', node.clock.now() + 120_000)
    assert.equal(await node.deliver(node.message(node.spawn(), { signer })), undefined)
    assert.deepEqual(node.lastRejection(), { code: 'ZT-401-CERT', check: 4, reason: 'not-yet-valid' })
  })

  it("of the hub's makes its tokens worthless, although they are in time", async (test) => {
    const node = await ReceivingNode.create(test)
    const hub = node.pki.identity('/hub/h1', node.clock.now() - 86_400_000 / 4)
    const life = hub.notAfter - node.clock.now()
    node.clock.advance(Math.max(0, life) + 2_000)
    const signer = node.pki.identity('/operator/ann', node.clock.now())
    const message = node.message(node.spawn(), {
      hub,
      signer,
      claims: { cnf: { 'x5t#S256': signer.thumbprint } },
    })
    assert.equal(await node.refusal(message), 'ZT-401-TOKEN')
  })
})
