// A certificate with two URI names could be either of them, so it is neither (SPIFFE X509-SVID §5.2): whoever gets one
// issued, with a harmless name first, does not become the other.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { bentSvid } from '#test/support/bent-svid.ts'
import { ReceivingNode } from '#test/support/receiving-node.ts'

const ANN = 'spiffe://mesh.example/operator/ann'
const EVE = 'spiffe://mesh.example/operator/eve'

describe('an SVID with two URI names', () => {
  it('would be accepted with one, so what is refused is the second', async (test) => {
    const node = await ReceivingNode.create(test)
    const signer = bentSvid(node.pki, { uris: [ANN] }, node.clock.now())
    const claims = { cnf: { 'x5t#S256': signer.thumbprint } }
    assert.equal((await node.send(node.spawn(), { signer, claims }))?.ok, true)
  })

  for (const uris of [
    [EVE, ANN],
    [ANN, EVE],
    [ANN, ANN],
  ]) {
    it(`is refused as ${uris.map((uri) => uri.slice(-3)).join(' and ')}`, async (test) => {
      const node = await ReceivingNode.create(test)
      const signer = bentSvid(node.pki, { uris }, node.clock.now())
      const claims = { sub: signer.id, cnf: { 'x5t#S256': signer.thumbprint } }
      assert.equal(await node.deliver(node.message(node.spawn(), { signer, claims })), undefined)
      assert.deepEqual(node.lastRejection(), { code: 'ZT-401-CERT', check: 4, reason: 'uri-san' })
      assert.equal(node.keeper.started.length, 0)
    })
  }

  it('is refused when a hub is one of the two, and it signed a token', async (test) => {
    const node = await ReceivingNode.create(test)
    const hub = bentSvid(node.pki, { uris: [node.hub.id, EVE] }, node.clock.now())
    assert.equal(await node.refusal(node.message(node.spawn(), { hub })), 'ZT-401-TOKEN')
    assert.equal(node.keeper.started.length, 0)
  })
})
