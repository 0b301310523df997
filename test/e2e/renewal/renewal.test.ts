import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import type { Command, SpawnCommand } from '#shared/protocol/command.ts'
import { parseResult } from '#shared/protocol/results.ts'
import { operator } from '#test/support/hub-client.ts'
import { startTestHub, type TestHub } from '#test/support/hub.ts'
import { needsSandbox, randomProc } from '#test/support/keeper.ts'
import { eventually, needsNats } from '#test/support/nats.ts'
import { command, FrameReader, FreshOperator, RealNode } from '#test/support/real-node.ts'

interface Mesh {
  readonly hub: TestHub
  readonly node: RealNode
}

async function start(svidTtlS: number): Promise<Mesh> {
  const hub = await startTestHub({ config: { svidTtlS } })
  const first = await operator(hub)
  const node = await RealNode.create(hub, first, { name: 'mac-mini' })
  await first.close()
  return { hub, node }
}

function spawn(node: RealNode, argv: readonly string[], changes: Partial<SpawnCommand> = {}): SpawnCommand {
  return {
    v: 1,
    op: 'process.spawn',
    node: parseSpiffeId(node.id),
    proc: randomProc(),
    exe: { path: argv[0] ?? '' },
    argv,
    env: {},
    sandbox: { profile: 'default@1', caps: ['network', 'read_anywhere', 'subprocess', 'workspace_rw'] },
    limits: {},
    ...changes,
  }
}

describe('a node that renews its identity every two seconds', { skip: needsNats || needsSandbox }, () => {
  const RENEWALS = 4
  let mesh: Mesh
  let ann: FreshOperator

  before(async () => {
    mesh = await start(5)
    ann = new FreshOperator(mesh.hub, 1500)
  })
  after(async () => {
    await ann?.close()
    await mesh?.node.end()
    await mesh?.hub.stop()
  })

  it('loses no command, and takes none twice', async () => {
    const { node } = mesh
    const list: Command = { v: 1, op: 'process.list', node: parseSpiffeId(node.id), all: true }
    const started = await command(await ann.client(), spawn(node, ['sleep', '1000']))
    assert.equal(started.ok, true)
    const enough = node.admissions + RENEWALS
    let sent = 0
    const worker = async (): Promise<void> => {
      while (node.admissions < enough) {
        sent += 1
        const receipt = await command(await ann.client(), sent % 5 === 0 ? spawn(node, ['true']) : list)
        assert.equal(receipt.ok, true)
      }
    }
    await Promise.all([worker(), worker(), worker()])
    const accepted = node.rows().filter(({ type }) => type === 'cmd.accepted')
    assert.equal(accepted.length, sent + 1)
    assert.deepEqual(
      node.rows().filter(({ type }) => type === 'cmd.rejected'),
      [],
    )
    const receipt = await command(await ann.client(), list)
    const { procs } = parseResult('process.list', receipt.ok ? receipt.result : undefined)
    assert.equal(procs[0]?.state, 'running')
  })
})

describe('a stream that outlives an identity of its node', { skip: needsNats || needsSandbox }, () => {
  let mesh: Mesh

  before(async () => {
    mesh = await start(10)
  })
  after(async () => {
    await mesh?.node.end()
    await mesh?.hub.stop()
  })

  it('comes whole and in order', async () => {
    const { node, hub } = mesh
    const script = 'i=0; while [ $i -lt 120 ]; do i=$((i+1)); echo line $i; sleep 0.05; done'
    const ann = await operator(hub)
    const before = node.admissions
    const cmd = spawn(node, ['sh', '-c', script])
    const reader = new FrameReader(ann, node.name, cmd.proc)
    const receipt = await command(ann, { ...cmd, out: reader.request })
    const { out } = parseResult('process.spawn', receipt.ok ? receipt.result : undefined)
    reader.activate(receipt, out?.epk ?? '')
    await eventually('it ended', () => reader.frames.some(({ kind }) => kind === 'exit'))
    const expected = Array.from({ length: 120 }, (_, index) => `line ${index + 1}\n`).join('')
    assert.equal(reader.text('stdout'), expected)
    assert.deepEqual(
      reader.frames.map(({ seq }) => Number(seq)),
      reader.frames.map((_, index) => index),
    )
    assert.ok(node.admissions > before, 'the node has renewed meanwhile')
    await ann.close()
  })
})
