// A workload's certificate cannot also be a server's: the workload CA may not name hosts (a critical name constraint),
// so a DNS name in it, even the hub's, refuses the whole chain. Brokers that map such names to users are why.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { bentSvid } from '#test/support/bent-svid.ts'
import { ReceivingNode } from '#test/support/receiving-node.ts'

const ANN = 'spiffe://mesh.example/operator/ann'

describe('an SVID with a DNS name', () => {
  for (const dns of ['localhost', 'hub.mesh.example', 'spiffe://mesh.example/hub/h1']) {
    it(`is refused with ${dns}`, async (test) => {
      const node = await ReceivingNode.create(test)
      const signer = bentSvid(node.pki, { uris: [ANN], dns: [dns] }, node.clock.now())
      const claims = { cnf: { 'x5t#S256': signer.thumbprint } }
      assert.equal(await node.deliver(node.message(node.spawn(), { signer, claims })), undefined)
      const { code, check } = node.lastRejection() ?? {}
      assert.deepEqual({ code, check }, { code: 'ZT-401-CERT', check: 4 })
      assert.equal(node.keeper.started.length, 0)
    })
  }

  it('mints no token for being named like the hub', async (test) => {
    const node = await ReceivingNode.create(test)
    const posing = bentSvid(node.pki, { uris: [ANN], dns: ['localhost'] }, node.clock.now())
    const message = node.message(node.spawn(), { hub: posing, claims: { iss: node.hub.id } })
    assert.equal(await node.refusal(message), 'ZT-401-TOKEN')
    assert.equal(node.keeper.started.length, 0)
  })
})
