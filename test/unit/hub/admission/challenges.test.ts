// A challenge is answered once, in time, or not at all.
import assert from 'node:assert/strict'
import { beforeEach, describe, it } from 'node:test'
import { Challenges } from '#hub/admission/challenges.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'

const from = { peer: '10.0.0.1', subject: 'n1' }

describe('challenges', () => {
  let clock: ManualClock
  let challenges: Challenges<string>
  beforeEach(() => {
    clock = new ManualClock()
    challenges = new Challenges(clock)
  })
  const refused = (session: string): void =>
    assert.throws(() => challenges.take(session), { code: 'ZT-401-NONCE' })

  it('gives back what it is about', () => {
    assert.equal(challenges.take(challenges.open('n1', from).session).about, 'n1')
  })

  it('refuses a challenge that was taken before', () => {
    const { session } = challenges.open('n1', from)
    challenges.take(session)
    refused(session)
  })

  it('refuses a challenge of the sixtieth second', () => {
    const { session } = challenges.open('n1', from)
    clock.advance(60_000)
    refused(session)
  })

  it('refuses a session that was never given out', () => refused('AAAAAAAAAAAAAAAAAAAAAA'))

  it('voids the oldest of more than 64 challenges of one peer for one subject', () => {
    const [first, second] = Array.from({ length: 65 }, () => challenges.open('n1', from))
    refused(first?.session ?? '')
    assert.equal(challenges.take(second?.session ?? '').about, 'n1')
  })

  it('does not let another address void a challenge', () => {
    const own = challenges.open('n1', from)
    for (let i = 0; i < 100; i += 1) challenges.open('n1', { ...from, peer: '10.0.0.2' })
    assert.equal(challenges.take(own.session).about, 'n1')
  })

  it('never gives out the same session twice', () => {
    const sessions = Array.from({ length: 200 }, (_, i) => challenges.open('x', { ...from, subject: `${i}` }))
    assert.equal(new Set(sessions.map((challenge) => challenge.session)).size, 200)
  })

  it('refuses a peer that leaves too many unanswered, until they expire', () => {
    const open = (i: number): unknown => challenges.open('x', { ...from, subject: `n${i}` })
    for (let i = 0; i < 256; i += 1) open(i)
    assert.throws(() => open(256), { code: 'ZT-429-RATE' })
    clock.advance(60_000)
    open(257)
  })
})
