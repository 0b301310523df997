// One node sends the hub requests as fast as it can: true ones, copies and noise, each of which would cost the hub a
// decryption. What is beyond one principal's rate is dropped unopened, so the others are served as if nothing were.
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { principalTag } from '#shared/identity/principal-tag.ts'
import { hubSubject } from '#shared/protocol/subjects.ts'
import { rowsOf } from '#test/support/audit-rows.ts'
import { startTestHub, type TestHub } from '#test/support/hub.ts'
import { operator, type TestClient } from '#test/support/hub-client.ts'
import { joinNode, type TestNode } from '#test/support/hub-node.ts'
import { eventually, needsNats } from '#test/support/nats.ts'
import { join } from 'node:path'

// Several times what a hub can open, and little enough for a busy machine to carry to it.
const BURST = 70
const EVERY_MS = 10
const QUESTIONS = 40
/** for one answer while the flood lasts, beside what it takes without one: broker and test carry the flood too */
const SERVED_WITHIN_MS = 1_500

/** Publishes BURST messages every EVERY_MS until it is stopped; says how many. */
function flood(node: TestNode, messages: readonly Flooding[]): () => number {
  let sent = 0
  const timer = setInterval(() => {
    for (let i = 0; i < BURST; i += 1) {
      const message = messages[sent % messages.length]
      if (message === undefined) continue
      node.client.channel.publish(message.subject, message.data, { replyTo: message.reply })
      sent += 1
    }
  }, EVERY_MS)
  return () => {
    clearInterval(timer)
    return sent
  }
}

interface Flooding {
  readonly subject: string
  readonly data: Uint8Array
  readonly reply: string
}

describe('a hub that is flooded by one node', { skip: needsNats }, () => {
  let hub: TestHub
  let alice: TestClient
  let node: TestNode
  let other: TestNode
  before(async () => {
    hub = await startTestHub()
    alice = await operator(hub)
    node = await joinNode(hub, alice, { name: 'n1' })
    other = await joinNode(hub, alice, { name: 'n2' })
  })
  after(async () => {
    await node?.close()
    await other?.close()
    await alice?.close()
    await hub?.stop()
  })

  const slowest = async (): Promise<number> => {
    const took: number[] = []
    for (let i = 0; i < QUESTIONS; i += 1) {
      const from = performance.now()
      if (i % 2 === 0) await alice.call('node.list', {})
      else await other.client.call('deny', {})
      took.push(performance.now() - from)
    }
    return Math.max(...took)
  }

  it('serves the others all the same', async (test) => {
    const quiet = await slowest()
    const copies = await Promise.all(
      Array.from({ length: 50 }, () => node.client.seal({ op: 'deny', params: {} })),
    )
    const reply = node.client.channel.newInbox()
    const noise = { subject: hubSubject('hello', node.id), data: Buffer.alloc(2048, 'x'), reply }
    const messages = [
      ...copies.map(({ sealed, subject }) => ({ subject, data: Buffer.from(sealed.text, 'latin1'), reply })),
      noise,
    ]
    const stop = flood(node, messages)
    let flooded: number
    let sent: number
    const from = performance.now()
    try {
      flooded = await slowest()
    } finally {
      sent = stop()
    }
    const rate = Math.round((sent * 1000) / (performance.now() - from))
    test.diagnostic(
      `slowest answer: ${quiet.toFixed(1)} ms before, ${flooded.toFixed(1)} ms under ${rate} messages/s`,
    )
    assert.ok(rate > 2_500, `a flood: ${rate} messages/s`)
    assert.ok(flooded < SERVED_WITHIN_MS + 20 * quiet, `the slowest answer took ${flooded} ms`)
  })

  it('says in its log how many it dropped and of whom, and has not filled it', async () => {
    const counted = `cmd.rejected ZT-429-RATE ${principalTag(node.id)}`
    const file = join(hub.stateDir, 'log.db')
    const dropped = (): number =>
      rowsOf(file)
        .filter(({ type }) => type === 'flood.aggregated')
        .map(({ obj }) => new Map(Object.entries(obj?.['counts'] ?? {})).get(counted) ?? 0)
        .reduce((sum: number, count) => sum + Number(count), 0)
    await eventually('the count to be written', () => dropped() > 1_000)
    const refused = rowsOf(file).filter(({ type }) => type === 'cmd.rejected')
    assert.ok(refused.length < 1_000, `${refused.length} rows`)
  })

  it('serves the node again when it is quiet', () =>
    eventually('an answer', async () => {
      try {
        return (await node.client.call('deny', {})).deny.length > 0
      } catch {
        return false
      }
    }))
})
