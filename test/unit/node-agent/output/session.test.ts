import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { generateX25519 } from '#shared/jose/keys.ts'
import {
  ackFrame,
  closeFrame,
  deriveStreamKeys,
  FrameOpener,
  FrameSealer,
  type OpenedFrame,
} from '#shared/protocol/output-frame.ts'
import { OutputSession } from '#node-agent/output/session.ts'
import type { OutputSource, StreamName } from '#node-agent/output/source.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { eventually } from '#test/support/nats.ts'

const SUBJECTS = { output: 'zt.node.n.out.p.t.s', ack: 'zt.node.n.ack.p.t.s' }
const NOTHING = new Uint8Array()
const KiB = 1024

/** A process whose output a test writes. */
class Script implements OutputSource {
  readonly streams = ['stdout', 'stderr'] as const
  readonly written: Record<StreamName, Buffer> = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) }
  /** first byte that is still kept */
  kept = 0
  over = false
  reads = 0
  closed = false
  readonly exited = Promise.withResolvers<{ code: number }>()

  write(stream: StreamName, text: string): void {
    this.written[stream] = Buffer.concat([this.written[stream], Buffer.from(text)])
  }

  async read(stream: StreamName, offset: number, maxBytes: number) {
    this.reads += 1
    const all = this.written[stream]
    if (offset < this.kept) {
      const data = all.subarray(this.kept, this.kept + maxBytes)
      return { data, offset: this.kept, gap: { from: offset, to: this.kept }, end: false }
    }
    const data = all.subarray(offset, offset + maxBytes)
    return {
      data: data.length === 0 ? NOTHING : data,
      offset,
      end: this.over && offset + data.length === all.length,
    }
  }

  exit() {
    return this.exited.promise
  }

  async close(): Promise<void> {
    this.closed = true
  }
}

function setUp(options: { window?: number; follow?: boolean; from?: Record<StreamName, number> } = {}) {
  const [node, caller] = [generateX25519(), generateX25519()]
  const names = { jti: 'j', node: parseSpiffeId('spiffe://mesh.example/node/n'), proc: 'p', caller: 'c' }
  const keys = deriveStreamKeys({ privateKey: node.privateKey, peer: caller.publicKey, ...names })
  const theirs = deriveStreamKeys({ privateKey: caller.privateKey, peer: node.publicKey, ...names })
  const opener = new FrameOpener({ key: theirs.toCaller, subject: SUBJECTS.output })
  const acks = new FrameSealer({ key: theirs.toNode, subject: SUBJECTS.ack })
  const frames: OpenedFrame[] = []
  const source = new Script()
  const clock = new ManualClock()
  const link = { down: false }
  const session = new OutputSession({
    source,
    bus: {
      publish: async (subject, data, stop) => {
        assert.equal(subject, SUBJECTS.output)
        while (link.down && !stop.aborted) await new Promise((resolve) => setImmediate(resolve))
        if (!stop.aborted) frames.push(opener.open(data))
      },
    },
    clock,
    keys,
    subjects: SUBJECTS,
    window: options.window ?? KiB * KiB,
    from: options.from ?? { stdout: 0, stderr: 0 },
    follow: options.follow ?? true,
  })
  const text = (stream: StreamName): string =>
    Buffer.concat(frames.filter(({ kind }) => kind === stream).map(({ data }) => data)).toString()
  const kinds = (): string[] => frames.map(({ kind }) => kind)
  const ack = (consumed: number): void => session.acknowledge(acks.seal(ackFrame(consumed)))
  const close = (): void => session.acknowledge(acks.seal(closeFrame()))
  return { source, clock, session, frames, text, kinds, ack, close, acks, link }
}

describe('a stream of output', () => {
  it('replays what is there, says so, follows what comes, and ends with how it ended', async () => {
    const { source, session, text, kinds } = setUp()
    source.write('stdout', 'one ')
    source.write('stderr', 'err')
    const run = session.run()
    await eventually('replayed', () => kinds().includes('eof'))
    source.write('stdout', 'two')
    session.wake()
    await eventually('followed', () => text('stdout') === 'one two')
    source.over = true
    source.exited.resolve({ code: 3 })
    session.wake()
    await run
    assert.deepEqual(kinds(), ['stdout', 'stderr', 'eof', 'stdout', 'exit'])
    assert.equal(text('stderr'), 'err')
    assert.ok(source.closed)
  })

  it('says how the process ended only when that is on record', async () => {
    const { source, session, kinds } = setUp()
    source.over = true
    const run = session.run()
    await eventually('all was sent', () => kinds().includes('eof'))
    assert.ok(!kinds().includes('exit'))
    source.exited.resolve({ code: 0 })
    await run
    assert.equal(kinds().at(-1), 'exit')
  })

  it('begins where the caller is, and ends at once when it does not follow', async () => {
    const { source, session, text, kinds } = setUp({ from: { stdout: 3, stderr: 0 }, follow: false })
    source.write('stdout', 'abcdef')
    await session.run()
    assert.equal(text('stdout'), 'def')
    assert.deepEqual(kinds(), ['stdout', 'eof'])
  })

  it('names what is gone for good, and goes on behind it', async () => {
    const { source, session, frames, text } = setUp({ follow: false })
    source.write('stdout', 'x'.repeat(100))
    source.kept = 60
    await session.run()
    const gap = frames.find(({ kind }) => kind === 'gap')
    assert.deepEqual(JSON.parse(Buffer.from(gap?.data ?? []).toString()), {
      stream: 'stdout',
      from: 0,
      to: 60,
    })
    assert.equal(text('stdout').length, 40)
  })

  it('sends every byte once and in its place, whatever the pieces', async () => {
    const { source, session, frames, text } = setUp({ follow: false })
    const body = Array.from({ length: 60_000 }, (_, n) => String(n)).join(',')
    source.write('stdout', body)
    await session.run()
    assert.equal(text('stdout'), body)
    let at = 0
    for (const { kind, offset, data } of frames) {
      if (kind !== 'stdout') continue
      assert.equal(offset, at)
      at += data.length
    }
  })
})

describe('back-pressure', () => {
  it('keeps at most the window under way, however much there is', async () => {
    const { source, session, text } = setUp({ window: 100 * KiB })
    source.write('stdout', 'x'.repeat(KiB * KiB))
    const run = session.run()
    await eventually('the window is full', () => text('stdout').length === 100 * KiB)
    const { reads } = source
    session.wake()
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(text('stdout').length, 100 * KiB)
    assert.equal(source.reads, reads)
    session.stop()
    await run
  })

  it('goes on by as much as was acknowledged', async () => {
    const { source, session, text, ack } = setUp({ window: 100 * KiB })
    source.write('stdout', 'x'.repeat(KiB * KiB))
    const run = session.run()
    await eventually('full', () => text('stdout').length === 100 * KiB)
    ack(30 * KiB)
    await eventually('more', () => text('stdout').length === 130 * KiB)
    session.stop()
    await run
  })

  const nothings: Record<string, (setup: ReturnType<typeof setUp>) => void> = {
    noise: ({ session }) => session.acknowledge(Buffer.from('noise')),
    'more than was sent': ({ ack }) => ack(KiB * KiB),
    'a frame of another kind': ({ session, acks }) =>
      session.acknowledge(acks.seal({ kind: 'stdout', offset: 50 * KiB, data: NOTHING })),
    'nothing new': ({ ack }) => ack(0),
  }
  for (const [what, send] of Object.entries(nothings)) {
    it(`is not lifted by ${what}`, async () => {
      const setup = setUp({ window: 100 * KiB })
      setup.source.write('stdout', 'x'.repeat(KiB * KiB))
      const run = setup.session.run()
      await eventually('full', () => setup.text('stdout').length === 100 * KiB)
      send(setup)
      await new Promise((resolve) => setImmediate(resolve))
      assert.equal(setup.text('stdout').length, 100 * KiB)
      setup.session.stop()
      await run
    })
  }

  it('is not lifted by an acknowledgement that is repeated', async () => {
    const { source, session, text, acks } = setUp({ window: 100 * KiB })
    source.write('stdout', 'x'.repeat(KiB * KiB))
    const run = session.run()
    await eventually('full', () => text('stdout').length === 100 * KiB)
    const once = acks.seal(ackFrame(10 * KiB))
    session.acknowledge(once)
    await eventually('more', () => text('stdout').length === 110 * KiB)
    session.acknowledge(once)
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(text('stdout').length, 110 * KiB)
    session.stop()
    await run
  })

  it('ends the stream of a caller who takes nothing for a minute', async () => {
    const { source, clock, session, text } = setUp({ window: 100 * KiB })
    source.write('stdout', 'x'.repeat(KiB * KiB))
    const run = session.run()
    await eventually('full', () => text('stdout').length === 100 * KiB)
    await new Promise((resolve) => setImmediate(resolve))
    clock.advance(60_000)
    await run
    assert.ok(source.closed)
  })

  it('waits for a caller who is slow, but there', async () => {
    const { source, clock, session, text, ack } = setUp({ window: 100 * KiB })
    source.write('stdout', 'x'.repeat(KiB * KiB))
    const run = session.run()
    await eventually('full', () => text('stdout').length === 100 * KiB)
    for (let minutes = 0; minutes < 5; minutes += 0.5) {
      clock.advance(30_000)
      await settled()
      ack(0)
    }
    assert.ok(!source.closed)
    session.stop()
    await run
  })

  it('waits for the link, and loses nothing while it is down', async () => {
    const { source, session, text, link } = setUp({ follow: false })
    link.down = true
    source.write('stdout', 'kept')
    const run = session.run()
    await new Promise((resolve) => setImmediate(resolve))
    link.down = false
    await run
    assert.equal(text('stdout'), 'kept')
  })
})

describe('a stream with nothing to send', () => {
  it('says every ten seconds that it is alive', async () => {
    const { clock, session, kinds, ack } = setUp()
    const run = session.run()
    await eventually('replayed', () => kinds().includes('eof'))
    for (const count of [1, 2, 3]) {
      await settled()
      clock.advance(10_000)
      await eventually('alive', () => kinds().filter((kind) => kind === 'alive').length === count)
      ack(0)
    }
    session.stop()
    await run
  })

  const states: Record<string, (source: Script) => void> = {
    'has nothing to say': () => undefined,
    'has closed its output and runs on': (source) => {
      source.over = true
    },
  }
  for (const [what, prepare] of Object.entries(states)) {
    it(`ends when nobody has answered for a minute, while the process ${what}`, async () => {
      const { source, clock, session, kinds } = setUp()
      prepare(source)
      const run = session.run()
      await eventually('replayed', () => kinds().includes('eof'))
      await settled()
      clock.advance(59_999)
      await settled()
      assert.ok(!source.closed)
      clock.advance(1)
      await run
      assert.ok(source.closed)
      assert.ok(!kinds().includes('exit'))
    })

    it(`ends when the caller says so, while the process ${what}`, async () => {
      const { source, session, kinds, close } = setUp()
      prepare(source)
      const run = session.run()
      await eventually('replayed', () => kinds().includes('eof'))
      close()
      await run
      assert.ok(source.closed)
    })
  }

  it('ends when nobody answers, however much there is to send', async () => {
    const { source, clock, session, text } = setUp()
    const run = session.run()
    for (let seconds = 1; seconds <= 60; seconds += 1) {
      source.write('stdout', '.')
      session.wake()
      await eventually('sent', () => text('stdout').length === seconds)
      await settled()
      clock.advance(1_000)
    }
    session.wake()
    await run
    assert.ok(source.closed)
  })

  it('goes on when somebody else says that it is to end', async () => {
    const { source, session, kinds } = setUp()
    const run = session.run()
    await eventually('replayed', () => kinds().includes('eof'))
    const other = new FrameSealer({ key: new Uint8Array(32), subject: SUBJECTS.ack })
    session.acknowledge(other.seal(closeFrame()))
    await settled()
    assert.ok(!source.closed)
    session.stop()
    await run
  })
})

/** Everything that can go on without time passing has gone on. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}
