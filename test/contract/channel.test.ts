// What every Channel must do, whatever carries it. Run with a real nats-server.
import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import type { Channel, ChannelMessage, ChannelStatus } from '#shared/host/channel.ts'
import { eventually, needsNats, testMesh } from '#test/support/nats.ts'

/** One caller and one node of the same mesh, and a second channel of that node. */
interface Parties {
  readonly caller: Channel
  readonly node: Channel
  readonly nodeAgain: () => Promise<Channel>
}

interface Implementation {
  readonly name: string
  readonly skip: string | false
  readonly make: (test: TestContext) => Promise<Parties>
}

const implementations: readonly Implementation[] = [
  {
    name: 'NATS',
    skip: needsNats,
    make: async (test) => {
      const mesh = await testMesh(test)
      const [caller, node] = await Promise.all([mesh.channel('/operator/ann'), mesh.channel('/node/n1')])
      return { caller, node, nodeAgain: () => mesh.channel('/node/n1') }
    },
  },
]

const CMD = 'zt.node.n1.cmd'
const toNode = { timeoutMs: 2_000, unreachable: 'ZT-503-NODE' } as const
const bytes = (text: string): Uint8Array => Buffer.from(text)
const text = (data: Uint8Array): string => Buffer.from(data).toString()

for (const { name, skip, make } of implementations) {
  describe(`channel over ${name}`, { skip }, () => {
    it('delivers subject and bytes unchanged, in the order sent', async (test) => {
      const { caller, node } = await make(test)
      const seen: string[] = []
      node.subscribe(CMD, ({ subject, data, replyTo }) => {
        seen.push(`${subject} ${text(data)} ${String(replyTo)}`)
      })
      await node.flush()
      for (let i = 0; i < 200; i++) caller.publish(CMD, bytes(`${i}`))
      await eventually('200 messages', () => seen.length === 200)
      assert.deepEqual(
        seen,
        Array.from({ length: 200 }, (_, i) => `${CMD} ${i} undefined`),
      )
    })

    it('delivers bytes that are no text', async (test) => {
      const { caller, node } = await make(test)
      const all = Uint8Array.from({ length: 256 }, (_, i) => i)
      node.subscribe(CMD, (message) => message.respond(message.data))
      await node.flush()
      const answer = await caller.request(CMD, all, toNode)
      assert.deepEqual(Uint8Array.from(answer.data), all)
    })

    it('gives a request its own answer among many', async (test) => {
      const { caller, node } = await make(test)
      node.subscribe(CMD, (message) => message.respond(message.data))
      await node.flush()
      const asked = Array.from({ length: 100 }, (_, i) => `${i}`)
      const answers = await Promise.all(asked.map((what) => caller.request(CMD, bytes(what), toNode)))
      assert.deepEqual(
        answers.map(({ data }) => text(data)),
        asked,
      )
    })

    for (const unreachable of ['ZT-503-NODE', 'ZT-503-HUB'] as const) {
      it(`says ${unreachable} at once if nobody listens and the caller chose that code`, async (test) => {
        const { caller } = await make(test)
        const started = performance.now()
        await assert.rejects(caller.request(CMD, bytes('x'), { timeoutMs: 5_000, unreachable }), {
          code: unreachable,
        })
        assert.ok(performance.now() - started < 2_000)
      })
    }

    it('says ZT-504-TIMEOUT if the receiver is silent', async (test) => {
      const { caller, node } = await make(test)
      node.subscribe(CMD, () => undefined)
      await node.flush()
      await assert.rejects(caller.request(CMD, bytes('x'), { ...toNode, timeoutMs: 50 }), {
        code: 'ZT-504-TIMEOUT',
      })
    })

    it('refuses to answer a message that wants no answer', async (test) => {
      const { caller, node } = await make(test)
      const message = new Promise<ChannelMessage>((resolve) => {
        node.subscribe(CMD, resolve)
      })
      await node.flush()
      caller.publish(CMD, bytes('x'))
      const received = await message
      assert.throws(() => received.respond(bytes('y')), { code: 'ZT-421-MISDIRECTED' })
    })

    const failing: Record<string, () => void | Promise<void>> = {
      throws: () => {
        throw new Error('of the handler')
      },
      rejects: () => Promise.reject(new Error('of the handler')),
    }
    for (const [what, fail] of Object.entries(failing)) {
      it(`goes on when a handler ${what}`, async (test) => {
        const { caller, node } = await make(test)
        let calls = 0
        node.subscribe(CMD, (message) => {
          calls += 1
          if (calls === 1) return fail()
          return message.respond(message.data)
        })
        await node.flush()
        caller.publish(CMD, bytes('first'))
        const answer = await caller.request(CMD, bytes('second'), toNode)
        assert.equal(text(answer.data), 'second')
      })
    }

    it('goes on when a status listener throws', async (test) => {
      const { caller, node } = await make(test)
      const seen: ChannelStatus[] = []
      caller.onStatus(() => {
        throw new Error('of the listener')
      })
      caller.onStatus((status) => seen.push(status))
      caller.publish('zt.node.n1.out.p.t.s', bytes('x'))
      await eventually('the refusal', () => seen.length === 1)
      node.subscribe(CMD, (message) => message.respond(message.data))
      await node.flush()
      await caller.request(CMD, bytes('x'), toNode)
    })

    it('hands nothing to a handler after unsubscribe()', async (test) => {
      const { caller, node } = await make(test)
      const first: string[] = []
      const second: string[] = []
      const subscription = node.subscribe(CMD, ({ data }) => {
        first.push(text(data))
        subscription.unsubscribe()
      })
      node.subscribe(CMD, ({ data }) => {
        second.push(text(data))
      })
      await node.flush()
      caller.publish(CMD, bytes('1'))
      caller.publish(CMD, bytes('2'))
      await eventually('both messages', () => second.length === 2)
      assert.deepEqual(first, ['1'])
      assert.equal(await subscription.ended, undefined)
    })

    it('makes inboxes that receive, and never the same twice', async (test) => {
      const { caller, node } = await make(test)
      const [inbox, other] = [caller.newInbox(), caller.newInbox()]
      assert.notEqual(inbox, other)
      const answer = new Promise<string>((resolve) => {
        caller.subscribe(inbox, ({ data }) => resolve(text(data)))
      })
      node.subscribe(CMD, (message) => message.respond(bytes('there')))
      await Promise.all([caller.flush(), node.flush()])
      caller.publish(CMD, bytes('x'), { replyTo: inbox })
      assert.equal(await answer, 'there')
    })

    it('refuses a message over the limit, and goes on', async (test) => {
      const { caller, node } = await make(test)
      const large = new Uint8Array(1024 * 1024 + 1)
      assert.throws(() => caller.publish(CMD, large), { code: 'ZT-413-SIZE' })
      await assert.rejects(caller.request(CMD, large, toNode), { code: 'ZT-413-SIZE' })
      node.subscribe(CMD, (message) => message.respond(bytes(`${message.data.length}`)))
      await node.flush()
      const answer = await caller.request(CMD, large.subarray(1), toNode)
      assert.equal(text(answer.data), `${1024 * 1024}`)
    })

    it('refuses everything after close()', async (test) => {
      const { caller } = await make(test)
      await caller.close()
      assert.deepEqual(await caller.closed, { kind: 'closed' })
      assert.equal(caller.connected, false)
      assert.throws(() => caller.publish(CMD, bytes('x')), { code: 'ZT-503-NATS' })
      await assert.rejects(caller.request(CMD, bytes('x'), toNode), { code: 'ZT-503-NATS' })
      await assert.rejects(caller.flush(), { code: 'ZT-503-NATS' })
      assert.throws(() => caller.subscribe(CMD, () => undefined), { code: 'ZT-503-NATS' })
      await caller.close()
      await caller.drain()
    })

    it('ends a request that is under way when it is closed', async (test) => {
      const { caller, node } = await make(test)
      node.subscribe(CMD, () => undefined)
      await node.flush()
      const refused = assert.rejects(caller.request(CMD, bytes('x'), { ...toNode, timeoutMs: 30_000 }), {
        code: 'ZT-503-NATS',
      })
      await caller.flush()
      await caller.close()
      await refused
    })

    it('drain() lets a handler finish and its answer leave', async (test) => {
      const { caller, node } = await make(test)
      const { promise: held, resolve: release } = Promise.withResolvers<void>()
      const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
      node.subscribe(CMD, async (message) => {
        begin()
        await held
        message.respond(bytes('done'))
      })
      await node.flush()
      const answer = caller.request(CMD, bytes('x'), toNode)
      await begun
      const drained = node.drain()
      release()
      assert.equal(text((await answer).data), 'done')
      await drained
      assert.deepEqual(await node.closed, { kind: 'closed' })
    })

    it('drain() lets a request under way have its answer', async (test) => {
      const { caller, node } = await make(test)
      const asked = new Promise<ChannelMessage>((resolve) => {
        node.subscribe(CMD, resolve)
      })
      await node.flush()
      const answer = caller.request(CMD, bytes('x'), toNode)
      const message = await asked
      const drained = caller.drain()
      message.respond(bytes('done'))
      assert.equal(text((await answer).data), 'done')
      await drained
    })

    it('drain() does not wait longer than it was told', async (test) => {
      const { caller, node } = await make(test)
      const begun = new Promise<void>((resolve) => {
        node.subscribe(CMD, () => {
          resolve()
          return new Promise(() => undefined)
        })
      })
      await node.flush()
      caller.publish(CMD, bytes('x'))
      await begun
      await node.drain(50)
      assert.deepEqual(await node.closed, { kind: 'closed' })
    })

    it('loses and repeats nothing when a second channel takes over in the same queue', async (test) => {
      const { caller, node, nodeAgain } = await make(test)
      const seen: number[] = []
      const note = ({ data }: ChannelMessage): void => {
        seen.push(Number(text(data)))
      }
      node.subscribe(CMD, note, { queue: 'n1' })
      await node.flush()
      let sent = 0
      const pump = setInterval(() => {
        for (let i = 0; i < 20; i++) caller.publish(CMD, bytes(`${sent++}`))
      }, 1)
      const next = await nodeAgain()
      next.subscribe(CMD, note, { queue: 'n1' })
      await next.flush()
      await node.drain()
      const atSwitch = sent
      await eventually('more messages', () => sent > atSwitch + 200)
      clearInterval(pump)
      await caller.flush()
      await eventually('every message', () => seen.length >= sent)
      assert.deepEqual(
        seen.toSorted((a, b) => a - b),
        Array.from({ length: sent }, (_, i) => i),
      )
    })
  })
}
