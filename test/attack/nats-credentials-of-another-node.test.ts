// A node, or a thief of all its broker credentials, stays within that node's own subjects: it neither hears nor
// speaks for another node, whatever certificate of the mesh the connection is made with.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Channel } from '#shared/host/channel.ts'
import { principalTag } from '#shared/identity/principal-tag.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { eventually, needsNats, testMesh, type TestMesh } from '#test/support/nats.ts'

const VICTIM = 'n2'
const caller = principalTag(parseSpiffeId('spiffe://mesh.example/operator/ann'))
const X = Buffer.from('x')

/** Connections that hold the credentials of node n1. */
const thieves: Record<string, (mesh: TestMesh) => Promise<Channel>> = {
  'the node itself': (mesh) => mesh.channel('/node/n1'),
  'a thief with a certificate of the victim': async (mesh) => {
    const stolen = await mesh.user('/node/n1')
    return mesh.connect({ ...stolen, identity: await mesh.authority.identity(`/node/${VICTIM}`) })
  },
  'a thief with a certificate of the hub': async (mesh) => {
    const stolen = await mesh.user('/node/n1')
    return mesh.connect({ ...stolen, identity: await mesh.authority.identity('/hub/h1') })
  },
}

describe('broker credentials of another node', { skip: needsNats }, () => {
  for (const [who, connect] of Object.entries(thieves)) {
    it(`let ${who} hear nothing that is for the victim`, async (test) => {
      const mesh = await testMesh(test)
      const [thief, victim, ann] = [
        await connect(mesh),
        await mesh.channel(`/node/${VICTIM}`),
        await mesh.channel('/operator/ann'),
      ]
      const subjects = [
        `zt.node.${VICTIM}.cmd`,
        `zt.node.${VICTIM}.ack.>`,
        'zt.node.>',
        'zt.>',
        `zt.inbox.${caller}.>`,
      ]
      for (const subject of subjects) {
        const { ended } = thief.subscribe(subject, () => assert.fail(`heard ${subject}`))
        assert.equal((await ended)?.code, 'ZT-403-SUBJECT', subject)
      }
      victim.subscribe(`zt.node.${VICTIM}.cmd`, (message) => message.respond(X))
      await victim.flush()
      await ann.request(`zt.node.${VICTIM}.cmd`, X, { timeoutMs: 2_000, unreachable: 'ZT-503-NODE' })
    })

    it(`let ${who} say nothing in the victim's name`, async (test) => {
      const mesh = await testMesh(test)
      const [thief, ann] = [await connect(mesh), await mesh.channel('/operator/ann')]
      const heard: string[] = []
      ann.subscribe(`zt.node.*.out.*.${caller}.*`, ({ subject }) => {
        heard.push(subject)
      })
      const inbox = ann.newInbox()
      ann.subscribe(inbox, ({ subject }) => {
        heard.push(subject)
      })
      await ann.flush()
      let refused = 0
      thief.onStatus((status) => {
        if (status.kind === 'refused') refused += 1
      })
      const subjects = [
        `zt.node.${VICTIM}.out.p-1.${caller}.s`,
        `zt.node.${VICTIM}.cmd`,
        `zt.anchor.${VICTIM}`,
        inbox,
        `zt.inbox.${caller}.from.${VICTIM}.x`,
        'zt.deny',
      ]
      for (const subject of subjects) thief.publish(subject, X)
      await thief.flush()
      await eventually('every refusal', () => refused === subjects.length)
      await ann.flush()
      assert.deepEqual(heard, [])
    })
  }
})
