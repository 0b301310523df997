// Attack: a token that is for nobody in particular, and so for everybody: asked for, and shown.
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { decodeBase64url } from '#shared/encoding/base64url.ts'
import { startTestHub, type TestHub } from '#test/support/hub.ts'
import { operator, type TestClient } from '#test/support/hub-client.ts'
import { joinNode, type TestNode } from '#test/support/hub-node.ts'
import { needsNats } from '#test/support/nats.ts'
import { askJwt, grantTask } from '#test/support/task-on-hub.ts'

describe('a jwt-svid without an audience', { skip: needsNats }, () => {
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

  const audiences: Record<string, readonly string[]> = {
    'no audience': [],
    'an empty one': [''],
    'an empty one beside another': ['db', ''],
    'one of a space': [' '],
    'nine of them': Array.from('123456789'),
  }
  for (const [what, audience] of Object.entries(audiences))
    it(`is not given to who asks with ${what}`, async () => {
      const proc = await grantTask(alice, node)
      await assert.rejects(askJwt(node, proc, audience), { code: 'ZT-422-SCHEMA' })
    })

  it('is not given by leaving the field away', async () => {
    const proc = await grantTask(alice, node)
    const receipt = await node.client.send(await node.client.seal({ op: 'task.jwt', params: { proc } }))
    assert.equal(receipt.ok === false && receipt.error.code, 'ZT-422-SCHEMA')
  })

  it('is what no token of ours is: it says exactly the audiences that were asked for', async () => {
    const { token } = await askJwt(node, await grantTask(alice, node), ['db', 'cache'])
    const claims = Buffer.from(decodeBase64url(token.split('.')[1] ?? '', 'payload')).toString()
    assert.deepEqual((JSON.parse(claims) as { aud: unknown }).aud, ['db', 'cache'])
  })
})
