// A capability is bound to the key that it was given to: whoever else gets hold of it, on the broker, in a log or from
// the caller itself, cannot use it.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ReceivingNode, withPayload } from '#test/support/receiving-node.ts'

describe("a token of another caller's", () => {
  it('is refused to a thief with a sound identity of the mesh', async (test) => {
    const node = await ReceivingNode.create(test)
    const cmd = node.spawn()
    const thief = node.pki.identity('/operator/eve')
    const message = node.message(cmd, { signer: thief, token: node.token(cmd) })
    assert.equal(await node.refusal(message), 'ZT-403-HOLDER')
    assert.deepEqual(node.lastRejection(), { code: 'ZT-403-HOLDER', check: 10 })
    assert.equal(node.keeper.started.length, 0)
  })

  it('is refused to the same person with another key', async (test) => {
    const node = await ReceivingNode.create(test)
    const cmd = node.spawn()
    const again = node.pki.identity('/operator/ann')
    assert.equal(
      await node.refusal(node.message(cmd, { signer: again, token: node.token(cmd) })),
      'ZT-403-HOLDER',
    )
  })

  it('is refused when it names the thief as the actor for somebody else', async (test) => {
    const node = await ReceivingNode.create(test)
    const { operator } = node
    const claims = { sub: operator.id, act: { sub: node.pki.identity('/operator/eve').id } }
    assert.equal(await node.refusal(node.message(node.spawn(), { claims })), 'ZT-403-HOLDER')
  })

  it('is refused when the thief has written its own key into it', async (test) => {
    const node = await ReceivingNode.create(test)
    const cmd = node.spawn()
    const thief = node.pki.identity('/operator/eve')
    const token = withPayload(node.token(cmd), (claims) => ({
      ...claims,
      sub: thief.id,
      cnf: { 'x5t#S256': thief.thumbprint },
    }))
    assert.equal(await node.refusal(node.message(cmd, { signer: thief, token })), 'ZT-401-TOKEN')
  })

  it('is refused when the thief has signed it, with a key of the mesh that is not a hub', async (test) => {
    const node = await ReceivingNode.create(test)
    const thief = node.pki.identity('/operator/eve')
    for (const signer of [thief, node.node]) {
      const claims = { iss: signer.id, sub: thief.id, cnf: { 'x5t#S256': thief.thumbprint } }
      const message = node.message(node.spawn(), { signer: thief, claims, hub: signer })
      assert.equal(await node.refusal(message), 'ZT-401-TOKEN')
    }
    assert.equal(node.keeper.started.length, 0)
  })

  it('is refused when the envelope names another token than it carries', async (test) => {
    const node = await ReceivingNode.create(test)
    const head = { tth: 'A'.repeat(43) }
    assert.equal(await node.refusal(node.message(node.spawn(), { head })), 'ZT-401-TOKEN')
  })
})
