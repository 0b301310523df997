// What following a process comes to: exit codes, ^C, and the last lines.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { exitCodeOf, exitText } from '#ops/ztctl/client/exit-code.ts'
import { Interrupts } from '#ops/ztctl/client/interrupts.ts'
import { Tail } from '#ops/ztctl/client/pipe-sink.ts'

describe('the exit code of a remote process', () => {
  it('is its own, or 128 and the signal, or 124 for its time limit', () => {
    assert.equal(exitCodeOf({ code: 0 }), 0)
    assert.equal(exitCodeOf({ code: 3 }), 3)
    assert.equal(exitCodeOf({ code: 255 }), 255)
    assert.equal(exitCodeOf({ signal: 'KILL' }), 137)
    assert.equal(exitCodeOf({ signal: 'TERM' }), 143)
    assert.equal(exitCodeOf({ signal: 'KILL', limit: 'wall_s' }), 124)
  })

  it('is 255 where nobody knows', () => {
    assert.equal(exitCodeOf({}), 255)
    assert.equal(exitCodeOf({ signal: 'RTMIN+1' }), 255)
  })

  it('is said in words in tables', () => {
    assert.equal(exitText({ code: 3 }), 'exit 3')
    assert.equal(exitText({ signal: 'KILL' }), 'signal KILL')
    assert.equal(exitText({ signal: 'TERM', limit: 'wall_s' }), 'time limit')
  })
})

describe('^C', () => {
  it('asks, then ends, then lets go', () => {
    const interrupts = new Interrupts()
    assert.deepEqual(
      [0, 500, 900].map((at) => interrupts.next(at)),
      ['interrupt', 'kill', 'detach'],
    )
  })

  it('begins again after a pause of two seconds', () => {
    const interrupts = new Interrupts()
    assert.deepEqual(
      [0, 2_001, 4_002, 4_500].map((at) => interrupts.next(at)),
      ['interrupt', 'interrupt', 'interrupt', 'kill'],
    )
  })
})

describe('the last lines', () => {
  const take = (most: number, ...chunks: ['stdout' | 'stderr', string][]): string[] => {
    const tail = new Tail(most)
    for (const [stream, text] of chunks) tail.add(stream, Buffer.from(text))
    return tail.take().map(({ stream, bytes }) => `${stream}:${Buffer.from(bytes).toString()}`)
  }

  it('are the last ones over both streams, in order', () => {
    assert.deepEqual(take(2, ['stdout', 'a\nb\n'], ['stderr', 'c\n'], ['stdout', 'd\n']), [
      'stderr:c\n',
      'stdout:d\n',
    ])
  })
  it('are put together from pieces', () => {
    assert.deepEqual(take(1, ['stdout', 'a\nhel'], ['stdout', 'lo'], ['stdout', ' you\n']), [
      'stdout:hello you\n',
    ])
  })
  it('include one that has no end yet', () => {
    assert.deepEqual(take(2, ['stdout', 'a\nb\nc']), ['stdout:b\n', 'stdout:c'])
  })
  it('are none when none are wanted, and all when there are fewer', () => {
    assert.deepEqual(take(0, ['stdout', 'a\nb\n']), [])
    assert.deepEqual(take(9, ['stdout', 'a\n']), ['stdout:a\n'])
  })
  it('of a long log cost no more than their own length', () => {
    const tail = new Tail(3)
    for (let line = 0; line < 50_000; line += 1) tail.add('stdout', Buffer.from(`${line}\n`))
    assert.deepEqual(
      tail.take().map(({ bytes }) => Buffer.from(bytes).toString()),
      ['49997\n', '49998\n', '49999\n'],
    )
  })
})
