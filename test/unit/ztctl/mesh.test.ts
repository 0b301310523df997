// What the client believes of hub, node and broker: nothing that is not signed for this question by whom it must be.
import assert from 'node:assert/strict'
import { beforeEach, describe, it } from 'node:test'
import { newProcId } from '#ops/ztctl/client/spawn-command.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { Command } from '#shared/protocol/command.ts'
import { signEncKey } from '#shared/protocol/enc-key.ts'
import { generateX25519 } from '#shared/jose/keys.ts'
import { createTestAuthority, TEST_NOW } from '#test/support/test-authority.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { scriptedMesh, type ScriptedMesh } from '#test/support/ztctl-mesh.ts'

const PROC = newProcId()
let mesh: ScriptedMesh
const list = (): Command & { op: 'process.list' } => ({
  v: 1,
  op: 'process.list',
  node: mesh.node.id,
  all: true,
})
const spawn = (): Command & { op: 'process.spawn' } => ({
  v: 1,
  op: 'process.spawn',
  node: mesh.node.id,
  proc: PROC,
  exe: { path: 'true' },
  argv: ['true', 'an-argument-that-nobody-sees'],
  env: { SECRET: 'a-value-that-nobody-sees' },
  sandbox: { profile: 'default@1', caps: [] },
  limits: {},
})

beforeEach(async () => {
  mesh = await scriptedMesh(new ManualClock(TEST_NOW))
})

describe('a request to the hub', () => {
  it('brings back the verified answer', async () => {
    mesh.onHub = () => ({
      allowed: true,
      reasons: ['operators'],
      decision: '0b7c2f6e-5d1a-4c3b-9a8f-1e2d3c4b5a69',
    })
    assert.equal((await mesh.mesh.hub('can-i', { cmd: list() })).allowed, true)
  })

  it('fails with the code that the hub answers', async () => {
    mesh.onHub = () => {
      throw new ZtError('ZT-403-POLICY', 'denied', { details: { reasons: 'guard.night' } })
    }
    await assert.rejects(mesh.mesh.hub('node.list', {}), {
      code: 'ZT-403-POLICY',
      details: { reasons: 'guard.night' },
    })
  })

  it('refuses an answer of another shape', async () => {
    mesh.onHub = () => ({ nodes: [{ name: 'x' }] })
    await assert.rejects(mesh.mesh.hub('node.list', {}), { code: 'ZT-422-SCHEMA' })
  })
})

describe('a command to a node', () => {
  it('brings back the result with the row that proves it', async () => {
    mesh.onCommand = () => ({ procs: [] })
    const receipt = await mesh.mesh.command(list())
    assert.deepEqual(receipt.result.procs, [])
    assert.equal(receipt.row.seq, 7)
  })

  it('shows nothing of itself to the broker', async () => {
    mesh.onCommand = (cmd) => ({
      proc: PROC,
      started: 1,
      exe: { path: cmd.op === 'process.spawn' ? '/bin/true' : '' },
    })
    await mesh.mesh.command(spawn())
    assert.ok(mesh.broker.passed.length >= 4)
    for (const { data } of mesh.broker.passed)
      assert.doesNotMatch(Buffer.from(data).toString('latin1'), /nobody-sees/)
  })

  it('is not sent when the hub names a key that another node vouches for', async () => {
    const other = await mesh.authority.identity('/node/build-box')
    mesh.nodeKey = signEncKey(other, generateX25519().publicKey, TEST_NOW)
    await assert.rejects(mesh.mesh.command(list()), { code: 'ZT-421-MISDIRECTED' })
    assert.deepEqual(mesh.taken, [])
  })

  it('is not sent when the key is vouched for by a node of another mesh', async () => {
    const stranger = await (await createTestAuthority()).identity('/node/mac-mini')
    mesh.nodeKey = signEncKey(stranger, generateX25519().publicKey, TEST_NOW)
    await assert.rejects(mesh.mesh.command(list()), { code: 'ZT-401-CERT' })
    assert.deepEqual(mesh.taken, [])
  })

  it('is not answered by another node', async () => {
    mesh.signer = await mesh.authority.identity('/node/build-box')
    await assert.rejects(mesh.mesh.command(list()), { code: 'ZT-421-MISDIRECTED' })
  })

  it('is not answered by whoever changes one byte on the way', async () => {
    mesh.onCommand = () => ({ procs: [] })
    mesh.broker.tamper = (subject, data) => {
      if (!subject.startsWith('zt.inbox.')) return [data]
      const changed = Uint8Array.from(data)
      changed[changed.length - 5] = (changed.at(-5) ?? 0) ^ 1
      return [changed]
    }
    await assert.rejects(mesh.mesh.command(list()), { code: 'ZT-400-MALFORMED' })
  })

  it('is not answered by an old answer', async () => {
    mesh.onCommand = () => ({ procs: [] })
    let old: Uint8Array | undefined
    mesh.broker.tamper = (subject, data) => {
      if (!subject.startsWith('zt.inbox.')) return [data]
      old ??= data
      return [old]
    }
    await assert.rejects(mesh.mesh.command(list()), { code: 'ZT-400-MALFORMED' })
  })

  it('to a node that is not there was not sent, and says so', async () => {
    const gone = { ...list(), node: mesh.mesh.nodeId('gone') }
    const identity = await mesh.authority.identity('/node/gone')
    mesh.nodeKey = signEncKey(identity, generateX25519().publicKey, TEST_NOW)
    await assert.rejects(mesh.mesh.command(gone), { code: 'ZT-503-NODE' })
  })

  it('that changes something and is not answered has an unknown outcome', async () => {
    mesh.broker.tamper = (subject, data) => (subject.startsWith('zt.node.') ? [] : [data])
    const short = await scriptedMesh(new ManualClock(TEST_NOW))
    short.broker.tamper = mesh.broker.tamper
    const started = { ...spawn(), node: short.node.id }
    await assert.rejects(withTimeout(short, 50).command(started), {
      code: 'ZT-504-OUTCOME-UNKNOWN',
      message: new RegExp(`mac-mini/${started.proc}`),
      details: { proc: started.proc, hint: `see what became of it: ztctl logs -f mac-mini/${started.proc}` },
    })
    await assert.rejects(withTimeout(short, 50).command({ ...list(), node: short.node.id }), {
      code: 'ZT-504-TIMEOUT',
    })
  })

  it('fails with the code that the node answers', async () => {
    mesh.onCommand = () => {
      throw new ZtError('ZT-404-EXE', 'no such program')
    }
    await assert.rejects(mesh.mesh.command(spawn()), { code: 'ZT-404-EXE' })
  })
})

function withTimeout(scripted: ScriptedMesh, timeoutMs: number): ScriptedMesh['mesh'] {
  const { channel } = scripted.mesh
  const request = channel.request.bind(channel)
  channel.request = (subject, data, options) => request(subject, data, { ...options, timeoutMs })
  return scripted.mesh
}
