import assert from 'node:assert/strict'
import { it } from 'node:test'
import { afterLong } from '#node-agent/keeper/timing.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'

const YEAR_MS = 31_536_000_000

it('waits a year when it is told to, and not until a timer of Node overflows', () => {
  const clock = new ManualClock()
  let fired = 0
  afterLong(clock, YEAR_MS, () => {
    fired += 1
  })
  clock.advance(YEAR_MS - 1)
  assert.equal(fired, 0)
  clock.advance(1)
  assert.equal(fired, 1)
})

it('can be cancelled at any time', () => {
  const clock = new ManualClock()
  const timer = afterLong(clock, YEAR_MS, () => assert.fail('was cancelled'))
  clock.advance(YEAR_MS / 2)
  timer.cancel()
  clock.advance(YEAR_MS)
})
