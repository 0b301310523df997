// Streams that nobody reads do not keep others from theirs.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { OutputSessions } from '#node-agent/output/sessions.ts'
import type { OutputSource } from '#node-agent/output/source.ts'
import { encodeBase64url, decodeBase64url } from '#shared/encoding/base64url.ts'
import { parseNodeName, parseProcId } from '#shared/identity/names.ts'
import { principalTag } from '#shared/identity/principal-tag.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { generateX25519 } from '#shared/jose/keys.ts'
import { closeFrame, deriveStreamKeys, FrameSealer } from '#shared/protocol/output-frame.ts'
import { ackSubject } from '#shared/protocol/subjects.ts'
import type { VerifiedSvid } from '#shared/x509/svid.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { eventually } from '#test/support/nats.ts'
import { silentLogger } from '#shared/host/logger.ts'

const NODE = parseSpiffeId('spiffe://mesh.example/node/n')
const PROC = parseProcId('p-abcdefghijklmnopqrst')
const CALLER = { id: parseSpiffeId('spiffe://mesh.example/operator/ann'), thumbprint: 'c' } as VerifiedSvid

/** A process that runs on and says nothing. */
const silent = (): OutputSource => ({
  streams: ['stdout'],
  read: async (_stream, offset) => ({ data: new Uint8Array(), offset, end: false }),
  exit: () => new Promise(() => undefined),
  close: async () => undefined,
})

function setUp(maxSessions: number) {
  const clock = new ManualClock()
  const node = parseNodeName('n')
  const bus = { publish: async () => undefined }
  const sessions = new OutputSessions({ node, me: NODE, bus, clock, logger: silentLogger, maxSessions })
  /** Follows as a caller does; returns how it lets go. */
  const follow = (stream: string): (() => void) => {
    sessions.requireRoom()
    const keys = generateX25519()
    const out = { stream, key: encodeBase64url(keys.publicKey), window: 1024 * 1024 }
    const from = { stdout: 0, stderr: 0 }
    const request = { source: silent(), proc: PROC, out, caller: CALLER, jti: 'j', from, follow: true }
    const opened = sessions.open(request)
    opened.start()
    const subject = ackSubject({ node, proc: PROC, tag: principalTag(CALLER.id), stream })
    const { toNode } = deriveStreamKeys({
      privateKey: keys.privateKey,
      peer: decodeBase64url(opened.grant.epk, 'epk'),
      jti: 'j',
      node: NODE,
      proc: PROC,
      caller: CALLER.thumbprint,
    })
    const sealer = new FrameSealer({ key: toNode, subject })
    return () => sessions.acknowledge(subject, sealer.seal(closeFrame()))
  }
  return { clock, sessions, follow }
}

function hasRoom(sessions: OutputSessions): boolean {
  try {
    sessions.requireRoom()
    return true
  } catch {
    return false
  }
}

describe('streams of output', () => {
  it('are not used up by following and letting go, time after time', async () => {
    const { sessions, follow } = setUp(2)
    for (let turn = 0; turn < 10; turn += 1) {
      const letGo = follow(`s${turn}`)
      letGo()
      await eventually('there is room', () => hasRoom(sessions))
    }
    await sessions.close()
  })

  it('that were left without a word make room after a minute', async () => {
    const { clock, sessions, follow } = setUp(2)
    follow('a')
    follow('b')
    assert.throws(() => follow('c'), { code: 'ZT-429-RATE' })
    await new Promise((resolve) => setImmediate(resolve))
    clock.advance(60_000)
    await eventually('there is room', () => hasRoom(sessions))
    await sessions.close()
  })
})
