import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { RateBucket, SenderRates } from '#node-agent/rate.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'

describe('a rate bucket', () => {
  it('gives its burst, then nothing, then what time brings', () => {
    const clock = new ManualClock()
    const bucket = new RateBucket(clock, { burst: 3, perSecond: 2 })
    assert.deepEqual(
      [1, 2, 3, 4].map(() => bucket.take()),
      [true, true, true, false],
    )
    clock.advance(500)
    assert.deepEqual([bucket.take(), bucket.take()], [true, false])
  })

  it('never holds more than its burst', () => {
    const clock = new ManualClock()
    const bucket = new RateBucket(clock, { burst: 2, perSecond: 100 })
    clock.advance(60_000)
    assert.deepEqual([bucket.take(), bucket.take(), bucket.take()], [true, true, false])
  })

  it('is not refilled by setting the time of day', () => {
    const clock = new ManualClock()
    const bucket = new RateBucket(clock, { burst: 1, perSecond: 1 })
    bucket.take()
    clock.step(3_600_000)
    assert.equal(bucket.take(), false)
  })
})

describe('the rates of senders', () => {
  it('are their own: one who is too fast slows nobody else down', () => {
    const rates = new SenderRates(new ManualClock(), { burst: 1, perSecond: 1 })
    assert.deepEqual(
      ['ann', 'ann', 'bob'].map((sender) => rates.take(sender)),
      [true, false, true],
    )
  })

  it('forget those who have long been quiet, and nobody else, when there are too many', () => {
    const clock = new ManualClock()
    const rates = new SenderRates(clock, { burst: 1, perSecond: 1 }, 2)
    rates.take('ann')
    clock.advance(1000)
    rates.take('bob')
    rates.take('eve')
    assert.equal(rates.take('bob'), false)
  })
})
