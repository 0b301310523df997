import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { ChannelEnd, ChannelStatus } from '#shared/host/channel.ts'
import { silentLogger } from '#shared/host/logger.ts'
import type { Admission } from '#node-agent/attest/admission.ts'
import { Renewals } from '#node-agent/identity/renewals.ts'
import type { Generation } from '#node-agent/link/generation.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'

const LIFE_MS = 300_000
const WHILE_MS = 10_000

function setUp(lifeMs = LIFE_MS) {
  const clock = new ManualClock()
  const events: string[] = []
  const failures: Error[] = []
  const ends = new Map<number, PromiseWithResolvers<ChannelEnd>>()
  const listeners = new Map<number, (status: ChannelStatus) => void>()
  const keys: PromiseWithResolvers<void>[] = []
  let count = 0
  const renewals = new Renewals({
    clock,
    logger: silentLogger,
    random: () => 0,
    admit: async () => {
      const failure = failures.shift()
      if (failure !== undefined) {
        events.push('refused')
        throw failure
      }
      const key = Promise.withResolvers<void>()
      keys.push(key)
      const signing = { lost: key.promise, isLost: false, waiting: 0 }
      return {
        identity: { notAfter: clock.now() + lifeMs },
        signing,
        lvl: 1,
        fence: 1,
      } as unknown as Admission
    },
    open: async (admission) => {
      count += 1
      const number = count
      events.push(`open ${number}`)
      ends.set(number, Promise.withResolvers())
      return {
        admission,
        channel: {
          closed: ends.get(number)?.promise,
          onStatus: (listener: (status: ChannelStatus) => void) => {
            listeners.set(number, listener)
            return () => undefined
          },
          close: async () => void events.push(`close ${number}`),
        },
        retire: async () => void events.push(`retire ${number}`),
        number,
      } as unknown as Generation
    },
    adopt: async (next) => void events.push(`adopt ${(next as unknown as { number: number }).number}`),
  })
  const settle = async (): Promise<void> => {
    for (let n = 0; n < 20; n += 1) await new Promise((resolve) => setImmediate(resolve))
  }
  return { clock, events, failures, renewals, settle, ends, listeners, keys }
}

describe('renewal', () => {
  it('comes at half the life, and the new connection takes over before the old one is drained', async () => {
    const { clock, events, renewals, settle } = setUp()
    const run = renewals.run()
    await settle()
    assert.deepEqual(events, ['open 1', 'adopt 1'])
    clock.advance(LIFE_MS / 2 - 1)
    await settle()
    assert.equal(events.length, 2)
    clock.advance(1)
    await settle()
    assert.deepEqual(events, ['open 1', 'adopt 1', 'open 2', 'adopt 2', 'retire 1'])
    await renewals.close(1000)
    await run
    assert.equal(events.at(-1), 'retire 2')
  })

  it('that fails is tried again, while the old identity stays in use', async () => {
    const { clock, events, failures, renewals, settle } = setUp()
    const run = renewals.run()
    await settle()
    failures.push(new Error('hub is away'), new Error('hub is away'))
    clock.advance(LIFE_MS / 2)
    await settle()
    for (let n = 0; n < 4; n += 1) {
      clock.advance(1000)
      await settle()
    }
    assert.deepEqual(events, ['open 1', 'adopt 1', 'refused', 'refused', 'open 2', 'adopt 2', 'retire 1'])
    await renewals.close(1000)
    await run
  })

  it('comes at once when the broker no longer takes the credentials', async () => {
    const { clock, events, renewals, settle, listeners } = setUp()
    const run = renewals.run()
    await settle()
    clock.advance(WHILE_MS)
    listeners.get(1)?.({ kind: 'unauthorized' })
    await settle()
    assert.ok(events.includes('adopt 2'))
    await renewals.close(1000)
    await run
  })

  it('comes once for a connection that is refused and then closed', async () => {
    const { clock, events, renewals, settle, listeners, ends } = setUp()
    const run = renewals.run()
    await settle()
    clock.advance(WHILE_MS)
    listeners.get(1)?.({ kind: 'unauthorized' })
    await Promise.resolve()
    listeners.get(1)?.({ kind: 'unauthorized' })
    ends.get(1)?.resolve({ kind: 'closed' })
    await settle()
    assert.deepEqual(events, ['open 1', 'adopt 1', 'open 2', 'adopt 2', 'retire 1'])
    await renewals.close(1000)
    await run
  })

  it('comes at once when the connection has ended', async () => {
    const { clock, events, renewals, settle, ends } = setUp()
    const run = renewals.run()
    await settle()
    clock.advance(WHILE_MS)
    ends.get(1)?.resolve({ kind: 'expired' })
    await settle()
    assert.ok(events.includes('adopt 2'))
    await renewals.close(1000)
    await run
  })

  it('comes at once when the key of the identity has failed to sign', async () => {
    const { clock, events, renewals, settle, keys } = setUp()
    const run = renewals.run()
    await settle()
    clock.advance(WHILE_MS)
    keys[0]?.resolve()
    await settle()
    assert.deepEqual(events, ['open 1', 'adopt 1', 'open 2', 'adopt 2', 'retire 1'])
    await renewals.close(1000)
    await run
  })

  it('is paced like tries that fail when one identity after the other is worth nothing at once', async () => {
    const { clock, renewals, settle, keys } = setUp()
    const run = renewals.run()
    await settle()
    for (let second = 0; second < 60; second += 1) {
      keys.at(-1)?.resolve()
      await settle()
      clock.advance(1000)
      await settle()
    }
    assert.ok(keys.length > 2 && keys.length < 10, `${keys.length} admissions in a minute`)
    await renewals.close(1000)
    await run
  })

  it('is not held up by the time for which the one before lasted, if that was its life', async () => {
    const { clock, keys, renewals, settle } = setUp(4000)
    const run = renewals.run()
    await settle()
    for (let n = 0; n < 10; n += 1) {
      clock.advance(2000)
      await settle()
    }
    assert.equal(keys.length, 11)
    await renewals.close(1000)
    await run
  })

  it('is not brought forward by the end of a connection that was replaced', async () => {
    const { clock, events, renewals, settle, ends } = setUp()
    const run = renewals.run()
    await settle()
    clock.advance(LIFE_MS / 2)
    await settle()
    ends.get(1)?.resolve({ kind: 'closed' })
    await settle()
    assert.ok(!events.includes('open 3'))
    await renewals.close(1000)
    await run
  })

  it('does not begin any more once the agent ends', async () => {
    const { clock, events, renewals, settle } = setUp()
    const run = renewals.run()
    await settle()
    await renewals.close(1000)
    await run
    clock.advance(LIFE_MS)
    await settle()
    assert.deepEqual(events, ['open 1', 'adopt 1', 'retire 1'])
  })
})
