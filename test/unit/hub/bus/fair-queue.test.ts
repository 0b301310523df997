import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { describe, it } from 'node:test'
import { FairQueue } from '#hub/bus/fair-queue.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'

interface Made {
  readonly queue: FairQueue<string>
  readonly begun: string[]
  /** ends what is under way */
  readonly finish: () => void
  readonly clock: ManualClock
}

function make(options: { readonly costMs?: number; readonly slow?: boolean } = {}): Made {
  const clock = new ManualClock(0)
  const begun: string[] = []
  const open: (() => void)[] = []
  const queue = new FairQueue<string>({
    clock,
    work(item) {
      begun.push(item)
      clock.advance(options.costMs ?? 0)
      return options.slow === true ? new Promise((resolve) => open.push(resolve)) : Promise.resolve()
    },
  })
  return { queue, begun, clock, finish: () => open.splice(0).forEach((end) => end()) }
}

describe('work of many senders', () => {
  it('is done in turns, however much one of them has sent before the others', async () => {
    const { queue, begun } = make()
    for (let i = 0; i < 300; i += 1) queue.offer('flood', `f${i}`)
    queue.offer('ann', 'a')
    queue.offer('bob', 'b')
    await turn()
    assert.ok(begun.indexOf('a') <= 2 && begun.indexOf('b') <= 2, begun.slice(0, 5).join())
  })

  it('is done in turns also where it is slow and comes one after the other', async () => {
    const { queue, begun } = make({ costMs: 10 })
    for (let i = 0; i < 300; i += 1) queue.offer('flood', `f${i}`)
    await turn()
    queue.offer('ann', 'a')
    await turn()
    await turn()
    assert.ok(begun.length < 10)
    assert.ok(begun.includes('a'))
  })

  it('is all done, in the order of its sender', async () => {
    const { queue, begun } = make({ costMs: 1 })
    const items = Array.from({ length: 100 }, (_, i) => `x${i}`)
    for (const item of items) assert.equal(queue.offer('x', item), true)
    for (let i = 0; i < 200 && begun.length < 100; i += 1) await turn()
    assert.deepEqual(begun, items)
  })

  it('is dropped beyond 400 of one sender, and of nobody else', () => {
    const { queue } = make()
    const taken = Array.from({ length: 1000 }, (_, i) => queue.offer('flood', `f${i}`)).filter(Boolean).length
    assert.equal(taken, 400)
    assert.equal(queue.offer('ann', 'a'), true)
  })

  it('is dropped beyond 8,192 in all, but for one of each sender', () => {
    const { queue } = make()
    for (let sender = 0; sender < 30; sender += 1)
      for (let i = 0; i < 400; i += 1) queue.offer(`s${sender}`, 'x')
    assert.equal(queue.offer('s0', 'x'), false)
    assert.equal(queue.offer('ann', 'a'), true)
    assert.equal(queue.offer('ann', 'a'), false)
  })

  it('waits while sixteen of its sender are under way', async () => {
    const { queue, begun, finish } = make({ slow: true })
    for (let i = 0; i < 40; i += 1) queue.offer('x', `x${i}`)
    await turn()
    assert.equal(begun.length, 16)
    queue.offer('ann', 'a')
    await turn()
    assert.equal(begun.at(-1), 'a')
    finish()
    await turn()
    await turn()
    assert.equal(begun.length, 33)
  })
})
