import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { describe, it } from 'node:test'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { generateX25519 } from '#shared/jose/keys.ts'
import {
  ackFrame,
  deriveStreamKeys,
  FrameOpener,
  FrameSealer,
  MAX_FRAME_DATA,
  type Frame,
  type FrameKind,
  type StreamContext,
} from '#shared/protocol/output-frame.ts'

const nodeKey = generateX25519()
const callerKey = generateX25519()
const transcript = {
  jti: randomUUID(),
  node: parseSpiffeId('spiffe://mesh.example/node/mac-mini'),
  proc: 'p-abcdefghijklmnopqrst',
  caller: 'thumbprint',
}
const atNode: StreamContext = { ...transcript, privateKey: nodeKey.privateKey, peer: callerKey.publicKey }
const atCaller: StreamContext = { ...transcript, privateKey: callerKey.privateKey, peer: nodeKey.publicKey }
const keys = deriveStreamKeys(atNode)
const subject = 'zt.node.mac-mini.out.p-abcdefghijklmnopqrst.tag.a1'
const channel = { key: keys.toCaller, subject }
const stdout = (text: string, offset = 0): Frame => ({ kind: 'stdout', offset, data: Buffer.from(text) })

describe('stream keys', () => {
  it('are the same at both ends, and differ by direction', () => {
    assert.deepEqual(deriveStreamKeys(atCaller), keys)
    assert.equal(keys.toCaller.length, 32)
    assert.notDeepEqual(keys.toCaller, keys.toNode)
  })

  const changes: Record<string, Partial<StreamContext>> = {
    command: { jti: randomUUID() },
    node: { node: parseSpiffeId('spiffe://mesh.example/node/build-box') },
    process: { proc: 'p-bbbbbbbbbbbbbbbbbbbb' },
    'caller certificate': { caller: 'other' },
    'ephemeral key': { privateKey: generateX25519().privateKey },
  }
  for (const [what, change] of Object.entries(changes)) {
    it(`are others for another ${what}`, () => {
      assert.notDeepEqual(deriveStreamKeys({ ...atNode, ...change }).toCaller, keys.toCaller)
    })
  }

  it('are never made with a key of small order', () => {
    assert.throws(() => deriveStreamKeys({ ...atNode, peer: new Uint8Array(32) }), {
      code: 'ZT-400-MALFORMED',
    })
  })
})

describe('output frames', () => {
  it('arrive in order, of every kind, with their offsets', () => {
    const sealer = new FrameSealer(channel)
    const opener = new FrameOpener(channel)
    const kinds: readonly FrameKind[] = ['stdout', 'stderr', 'exit', 'gap', 'eof', 'ack', 'alive', 'close']
    kinds.forEach((kind, index) => {
      const frame = { kind, offset: index * 1000, data: Buffer.from(`${kind} data`) }
      assert.deepEqual(opener.open(sealer.seal(frame)), { ...frame, seq: BigInt(index) })
    })
  })

  it('hold nothing, 64 KiB, and no byte more', () => {
    const sealer = new FrameSealer(channel)
    const opener = new FrameOpener(channel)
    assert.equal(opener.open(sealer.seal(ackFrame(Number.MAX_SAFE_INTEGER))).offset, Number.MAX_SAFE_INTEGER)
    const full = { kind: 'stdout' as const, offset: 0, data: new Uint8Array(MAX_FRAME_DATA) }
    assert.equal(opener.open(sealer.seal(full)).data.length, MAX_FRAME_DATA)
    const over = { ...full, data: new Uint8Array(MAX_FRAME_DATA + 1) }
    assert.throws(() => sealer.seal(over), { code: 'ZT-413-SIZE' })
  })

  it('do not show their text', () => {
    assert.equal(Buffer.from(new FrameSealer(channel).seal(stdout('secret'))).includes('secret'), false)
  })

  it('have 34 bytes beside their data, the version and the sequence in the clear', () => {
    const sealer = new FrameSealer(channel)
    sealer.seal(stdout(''))
    const second = Buffer.from(sealer.seal(stdout('abc')))
    assert.equal(second.length, 34 + 3)
    assert.equal(second.subarray(0, 9).toString('hex'), '010000000000000001')
  })

  it('are refused when they are repeated or come late', () => {
    const sealer = new FrameSealer(channel)
    const [first, second, third] = ['a', 'b', 'c'].map((text) => sealer.seal(stdout(text)))
    const opener = new FrameOpener(channel)
    opener.open(first as Uint8Array)
    assert.throws(() => opener.open(first as Uint8Array), { code: 'ZT-409-REPLAY' })
    assert.equal(opener.open(third as Uint8Array).seq, 2n)
    assert.throws(() => opener.open(second as Uint8Array), { code: 'ZT-409-REPLAY' })
  })

  it('that are forged do not move the sequence', () => {
    const opener = new FrameOpener(channel)
    const forged = Buffer.from(new FrameSealer(channel).seal(stdout('x')))
    forged.writeBigUInt64BE(2n ** 60n, 1)
    assert.throws(() => opener.open(forged), { code: 'ZT-400-MALFORMED' })
    assert.equal(opener.open(new FrameSealer(channel).seal(stdout('a'))).seq, 0n)
  })

  it('do not open on another subject, with another key or in the other direction', () => {
    const frame = new FrameSealer(channel).seal(stdout('x'))
    const others = [
      { ...channel, subject: `${subject}x` },
      { ...channel, key: keys.toNode },
      { ...channel, key: new Uint8Array(32) },
    ]
    for (const other of others) {
      assert.throws(() => new FrameOpener(other).open(frame), { code: 'ZT-400-MALFORMED' })
    }
  })

  it('do not open with any changed bit', () => {
    const frame = new FrameSealer(channel).seal(stdout('x'))
    for (let bit = 0; bit < frame.length * 8; bit++) {
      const changed = Uint8Array.from(frame)
      changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7))
      assert.throws(() => new FrameOpener(channel).open(changed), { code: 'ZT-400-MALFORMED' })
    }
  })

  it('do not open when they are cut off, grown, or of an impossible size', () => {
    const frame = new FrameSealer(channel).seal(stdout('hello'))
    const sizes = [0, 1, 9, 25, 33, frame.length - 1]
    for (const size of sizes) {
      assert.throws(() => new FrameOpener(channel).open(frame.subarray(0, size)), {
        code: 'ZT-400-MALFORMED',
      })
    }
    for (const more of [1, MAX_FRAME_DATA]) {
      const grown = Buffer.concat([frame, Buffer.alloc(more)])
      assert.throws(() => new FrameOpener(channel).open(grown), { code: 'ZT-400-MALFORMED' })
    }
  })
})
