// Output arrives in order and each byte once, whatever the broker does; what cannot be had is named.
import assert from 'node:assert/strict'
import { beforeEach, describe, it } from 'node:test'
import { exitCodeOfEnding } from '#ops/ztctl/client/exit-code.ts'
import { Follower, type Ending, type FollowOptions, type OutputSink } from '#ops/ztctl/client/follower.ts'
import { OutputStream } from '#ops/ztctl/client/output-stream.ts'
import { newProcId } from '#ops/ztctl/client/spawn-command.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { Frame } from '#shared/protocol/output-frame.ts'
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { TEST_NOW } from '#test/support/test-authority.ts'
import {
  END_OF_REPLAY,
  exit,
  scriptedMesh,
  text,
  type ScriptedMesh,
  type ScriptedStream,
} from '#test/support/ztctl-mesh.ts'

const PROC = newProcId()
const ALIVE: Frame = { kind: 'alive', offset: 0, data: new Uint8Array() }
const DONE = exit({ code: 0 })

let clock: ManualClock
let mesh: ScriptedMesh
let said: { stdout: string; stderr: string; remarks: string[]; replayed: number }

const sink: OutputSink = {
  data: async (stream, bytes) => {
    said[stream] += Buffer.from(bytes).toString()
  },
  replayed: async () => {
    said.replayed += 1
  },
  remark: (remark) => {
    said.remarks.push(remark)
  },
}

beforeEach(async () => {
  clock = new ManualClock(TEST_NOW)
  mesh = await scriptedMesh(clock)
  said = { stdout: '', stderr: '', remarks: [], replayed: 0 }
})

/** Each watch gets the next list of frames. */
function script(...streams: readonly (readonly Frame[])[]): void {
  let next = 0
  mesh.onCommand = (cmd, stream) => {
    const frames = streams[next] ?? []
    next += 1
    assert.equal(cmd.op, 'process.watch')
    // The first frames may overtake the receipt.
    for (const frame of frames) stream?.send(frame)
    return { proc: PROC, started: 5, state: 'running', out: stream?.grant }
  }
}

function follow(options: Partial<FollowOptions> = {}): Promise<Ending> {
  const live = { current: mesh.mesh, msToRenewal: 1_000_000, refreshed: async () => mesh.mesh }
  const target = { node: mesh.node.id, proc: PROC, started: 5 }
  const stop = new AbortController().signal
  return new Follower({ mesh: live, target, sink, clock, follow: true, stop, ...options }).run()
}

const froms = (): readonly unknown[] =>
  mesh.taken.map((cmd) => (cmd.op === 'process.watch' ? { ...cmd.from } : undefined))

describe('following', () => {
  it('hands on both streams until the process ends', async () => {
    script([
      text('stdout', 0, 'a'),
      text('stderr', 0, 'e'),
      END_OF_REPLAY,
      text('stdout', 1, 'b'),
      exit({ code: 3 }),
    ])
    assert.deepEqual(await follow(), { kind: 'exit', status: { code: 3 } })
    assert.deepEqual([said.stdout, said.stderr, said.replayed], ['ab', 'e', 1])
  })

  it('ends with the replay when nothing more is wanted', async () => {
    script([text('stdout', 0, 'a'), END_OF_REPLAY])
    assert.deepEqual(await follow({ follow: false }), { kind: 'replayed' })
  })

  it('asks again from where it is when a frame is lost', async () => {
    let count = 0
    mesh.broker.tamper = (subject, data) => {
      if (!subject.includes('.out.')) return [data]
      count += 1
      return count === 2 ? [] : [data]
    }
    script(
      [text('stdout', 0, 'one '), text('stdout', 4, 'two '), text('stdout', 8, 'three'), DONE],
      [text('stdout', 4, 'two '), text('stdout', 8, 'three'), DONE],
    )
    assert.equal((await follow()).kind, 'exit')
    assert.equal(said.stdout, 'one two three')
    assert.deepEqual(froms(), [
      { stdout: 0, stderr: 0 },
      { stdout: 4, stderr: 0 },
    ])
  })

  it('takes no byte twice when frames overlap', async () => {
    script([text('stdout', 0, 'abc'), text('stdout', 1, 'bcd'), text('stdout', 0, 'ab'), DONE])
    await follow()
    assert.equal(said.stdout, 'abcd')
  })

  it('asks again when an offset jumps without a word', async () => {
    script([text('stdout', 0, 'a'), text('stdout', 9, 'z')], [text('stdout', 1, 'b'), DONE])
    await follow()
    assert.equal(said.stdout, 'ab')
  })

  it('names what the node no longer has, and goes on behind it', async () => {
    const gap: Frame = {
      kind: 'gap',
      offset: 0,
      data: canonicalBytes({ stream: 'stdout', from: 0, to: 100 }),
    }
    script([gap, text('stdout', 100, 'tail'), DONE])
    const ending = await follow()
    assert.ok(ending.kind === 'exit')
    assert.deepEqual(ending, { kind: 'exit', status: { code: 0 }, missing: { stdout: 100, stderr: 0 } })
    assert.equal(exitCodeOfEnding(ending), 255)
    assert.equal(exitCodeOfEnding({ ...ending, status: { code: 3 } }), 3)
    assert.equal(said.stdout, 'tail')
    assert.deepEqual(said.remarks, ['100 bytes of stdout are no longer kept by the node'])
  })

  it('ignores frames that are repeated, forged or of another stream', async () => {
    const forged = Buffer.alloc(80, 7)
    mesh.broker.tamper = (subject, data) =>
      subject.includes('.out.') ? [forged, data, data, new Uint8Array(3)] : [data]
    script([text('stdout', 0, 'a'), text('stdout', 1, 'b'), DONE])
    await follow()
    assert.equal(said.stdout, 'ab')
  })

  it('asks again when frames come in another order', async () => {
    const held: Uint8Array[] = []
    let swapped = false
    mesh.broker.tamper = (subject, data) => {
      if (!subject.includes('.out.') || swapped) return [data]
      held.push(data)
      if (held.length < 2) return []
      swapped = true
      return held.toReversed()
    }
    script([text('stdout', 0, 'a'), text('stdout', 1, 'b'), DONE], [text('stdout', 0, 'ab'), DONE])
    await follow()
    assert.equal(said.stdout, 'ab')
  })

  it('asks again after a silence, and later and later', async () => {
    script([text('stdout', 0, 'a')], [], [text('stdout', 1, 'b'), DONE])
    const ending = follow()
    await untilTaken(1)
    await advanceUntilTaken(2)
    await advanceUntilTaken(3)
    await ending
    assert.equal(said.stdout, 'ab')
  })

  it('does not ask again while the node says that it is there', async () => {
    let node: ScriptedStream | undefined
    mesh.onCommand = (_cmd, stream) => {
      node = stream
      stream?.send(text('stdout', 0, 'a'))
      return { proc: PROC, started: 5, state: 'running', out: stream?.grant }
    }
    const ending = follow()
    await until(() => said.stdout === 'a')
    const acks = (): number => mesh.broker.passed.filter(({ subject }) => subject.includes('.ack.')).length
    for (let count = 1; count <= 12; count += 1) {
      clock.advance(10_000)
      node?.send(ALIVE)
      await until(() => acks() === count)
      await new Promise((resolve) => setImmediate(resolve))
    }
    node?.send(DONE)
    assert.equal((await ending).kind, 'exit')
    assert.equal(mesh.taken.length, 1)
  })

  it('asks again when the link has come back', async () => {
    script([text('stdout', 0, 'a')], [text('stdout', 1, 'b'), DONE])
    const ending = follow()
    await until(() => said.stdout === 'a')
    mesh.broker.tell({ kind: 'disconnected' })
    mesh.broker.tell({ kind: 'connected' })
    await ending
    assert.equal(said.stdout, 'ab')
  })

  it('waits for a node that is away, and says how to attach again when it stays away', async () => {
    script([text('stdout', 0, 'a')])
    const ending = follow()
    await until(() => said.stdout === 'a')
    mesh.onCommand = () => {
      throw new ZtError('ZT-503-NODE', 'away')
    }
    const settled = Promise.allSettled([ending]).then(([result]) => result)
    let over = false
    void settled.then(() => {
      over = true
    })
    await until(() => {
      clock.advance(1_000)
      return over
    })
    const result = await settled
    assert.ok(result?.status === 'rejected')
    const error = result.reason as ZtError
    assert.equal(error.code, 'ZT-504-OUTCOME-UNKNOWN')
    assert.equal(
      error.details['hint'],
      `it goes on without ztctl; attach again with: ztctl logs -f mac-mini/${PROC}`,
    )
  })

  it('ends at once when the node does not know the process', async () => {
    mesh.onCommand = () => {
      throw new ZtError('ZT-404-PROC', 'gone')
    }
    await assert.rejects(follow(), { code: 'ZT-404-PROC' })
  })

  it('ends when it is told to, and touches nothing', async () => {
    script([text('stdout', 0, 'a')])
    const stop = new AbortController()
    const ending = follow({ stop: stop.signal })
    await until(() => said.stdout === 'a')
    stop.abort()
    assert.deepEqual(await ending, { kind: 'stopped' })
    assert.equal(mesh.taken.length, 1)
  })

  it('refuses an exit that is none', async () => {
    script([exit({ code: 'zero' })])
    await assert.rejects(follow(), { code: 'ZT-422-SCHEMA' })
  })
})

describe('a stream of output', () => {
  it('shows nothing before the receipt is verified', async () => {
    const stream = new OutputStream(mesh.mesh, { node: mesh.node.id, proc: PROC })
    mesh.onCommand = (_cmd, scripted) => {
      scripted?.send(text('stdout', 0, 'early'))
      return { proc: PROC, started: 5, state: 'running', out: scripted?.grant }
    }
    const { result, jti } = await watch(stream)
    const soon = new AbortController()
    const early = stream.next(soon.signal)
    soon.abort()
    assert.equal(await early, undefined)
    stream.activate(result.out, jti)
    const event = await stream.next(new AbortController().signal)
    assert.ok(event?.kind === 'frame' && Buffer.from(event.frame.data).toString() === 'early')
    stream.close()
  })

  it('acknowledges what has been consumed, a quarter of the window at a time', async () => {
    const stream = new OutputStream(mesh.mesh, { node: mesh.node.id, proc: PROC })
    mesh.onCommand = (_cmd, scripted) => ({ proc: PROC, started: 5, state: 'running', out: scripted?.grant })
    const { result, jti } = await watch(stream)
    stream.activate(result.out, jti)
    const acks = (): number => mesh.broker.passed.filter(({ subject }) => subject.includes('.ack.')).length
    stream.consumed(200 * 1024)
    assert.equal(acks(), 0)
    stream.consumed(100 * 1024)
    assert.equal(acks(), 1)
    stream.close()
  })

  it('answers that it is there when the node asks, read or not, and says when it is closed', async () => {
    const stream = new OutputStream(mesh.mesh, { node: mesh.node.id, proc: PROC })
    let node: ScriptedStream | undefined
    mesh.onCommand = (_cmd, scripted) => {
      node = scripted
      return { proc: PROC, started: 5, state: 'running', out: scripted?.grant }
    }
    const { result, jti } = await watch(stream)
    stream.activate(result.out, jti)
    const acks = (): number => mesh.broker.passed.filter(({ subject }) => subject.includes('.ack.')).length
    node?.send(ALIVE)
    await until(() => acks() === 1)
    stream.close()
    stream.close()
    assert.equal(acks(), 2)
  })

  it('is given up when more comes than was asked for', async () => {
    const stream = new OutputStream(mesh.mesh, { node: mesh.node.id, proc: PROC })
    mesh.onCommand = (_cmd, scripted) => {
      for (let at = 0; at < 40; at += 1) scripted?.send(text('stdout', at * 65_536, 'x'.repeat(65_536)))
      return { proc: PROC, started: 5, state: 'running', out: scripted?.grant }
    }
    const { result, jti } = await watch(stream)
    await new Promise((resolve) => setImmediate(resolve))
    stream.activate(result.out, jti)
    const kinds: (string | undefined)[] = []
    for (;;) {
      const event = await stream.next(new AbortController().signal)
      kinds.push(event?.kind)
      if (event?.kind !== 'frame') break
    }
    assert.equal(kinds.at(-1), 'lost')
    stream.close()
  })

  function watch(stream: OutputStream): ReturnType<typeof mesh.mesh.command<'process.watch'>> {
    const from = { stdout: 0, stderr: 0 }
    const target = { node: mesh.node.id, proc: PROC, started: 5 }
    return mesh.mesh.command({
      v: 1,
      op: 'process.watch',
      ...target,
      from,
      follow: true,
      out: stream.request,
    })
  }
})

async function until(holds: () => boolean): Promise<void> {
  const deadline = Date.now() + 5_000
  while (!holds()) {
    if (Date.now() > deadline) throw new Error('did not happen in 5 s')
    await new Promise((resolve) => setImmediate(resolve))
  }
}

function untilTaken(count: number): Promise<void> {
  return until(() => mesh.taken.length >= count)
}

function advanceUntilTaken(count: number): Promise<void> {
  return until(() => {
    clock.advance(500)
    return mesh.taken.length >= count
  })
}
