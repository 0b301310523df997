import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ZtError } from '#shared/errors/error.ts'
import type { Channel, ChannelStatus } from '#shared/host/channel.ts'
import { Bus } from '#node-agent/link/bus.ts'

/** As much of a channel as a bus uses. */
class Link {
  connected = true
  readonly sent: string[] = []
  readonly flushed = Promise.withResolvers<void>()
  listener: ((status: ChannelStatus) => void) | undefined

  publish(_subject: string, data: Uint8Array): void {
    if (!this.connected) throw new ZtError('ZT-503-NATS', 'not connected')
    this.sent.push(Buffer.from(data).toString())
  }

  flush(): Promise<void> {
    return this.flushed.promise
  }

  onStatus(listener: (status: ChannelStatus) => void): () => void {
    this.listener = listener
    return () => undefined
  }

  get channel(): Channel {
    return this as unknown as Channel
  }
}

const NEVER = new AbortController().signal
const text = (value: string): Uint8Array => Buffer.from(value)

describe('the bus', () => {
  it('sends nothing over the new channel before the old one has delivered what it was given', async () => {
    const [first, second] = [new Link(), new Link()]
    const bus = new Bus()
    await bus.use(first.channel)
    await bus.publish('s', text('1'), NEVER)
    const switched = bus.use(second.channel)
    const late = bus.publish('s', text('2'), NEVER)
    await new Promise((resolve) => setImmediate(resolve))
    assert.deepEqual([first.sent, second.sent], [['1'], []])
    first.flushed.resolve()
    await Promise.all([switched, late])
    assert.deepEqual([first.sent, second.sent], [['1'], ['2']])
  })

  it('does not wait for a channel that is down', async () => {
    const [first, second] = [new Link(), new Link()]
    const bus = new Bus()
    await bus.use(first.channel)
    first.connected = false
    await bus.use(second.channel)
    await bus.publish('s', text('1'), NEVER)
    assert.deepEqual(second.sent, ['1'])
  })

  it('holds a message while there is no connection, and sends it once when there is', async () => {
    const link = new Link()
    const bus = new Bus()
    await bus.use(link.channel)
    link.connected = false
    const sent = bus.publish('s', text('1'), NEVER)
    await new Promise((resolve) => setImmediate(resolve))
    link.connected = true
    link.listener?.({ kind: 'connected' })
    await sent
    assert.deepEqual(link.sent, ['1'])
  })

  it('gives up when it is told to', async () => {
    const bus = new Bus()
    const stop = new AbortController()
    const sent = bus.publish('s', text('1'), stop.signal)
    stop.abort()
    await sent
  })

  it('passes on that a message is too large', async () => {
    const link = new Link()
    link.publish = () => {
      throw new ZtError('ZT-413-SIZE', 'too large')
    }
    const bus = new Bus()
    await bus.use(link.channel)
    await assert.rejects(bus.publish('s', text('1'), NEVER), { code: 'ZT-413-SIZE' })
  })
})
