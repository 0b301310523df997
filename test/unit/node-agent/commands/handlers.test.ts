// What each kind of command does once it was allowed.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { ZtError } from '#shared/errors/error.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { generateX25519 } from '#shared/jose/keys.ts'
import type { Command, SpawnCommand } from '#shared/protocol/command.ts'
import { parseResult } from '#shared/protocol/results.ts'
import { workspaceName } from '#node-agent/commands/spawn.ts'
import { ReceivingNode } from '#test/support/receiving-node.ts'

/** Without the missing prototypes of what a strict parser made. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

const OUT = { stream: 's1', key: encodeBase64url(generateX25519().publicKey), window: 65_536 }

async function running(
  node: ReceivingNode,
  changes: object = {},
): Promise<{ cmd: SpawnCommand; started: number }> {
  const cmd = node.spawn({ ...changes })
  const receipt = await node.send(cmd)
  if (receipt?.ok !== true) throw new Error('did not start')
  return { cmd, started: parseResult('process.spawn', receipt.result).started }
}

const of = (node: ReceivingNode, op: string, fields: object): Command =>
  node.parse({ v: 1, op, node: node.node.id, ...fields })

async function refused(node: ReceivingNode, cmd: Command): Promise<string | undefined> {
  return node.refusal(node.message(cmd))
}

describe('a spawn', () => {
  it('hands the keeper what was granted, and nothing more', async (test) => {
    const node = await ReceivingNode.create(test)
    await running(node, { cwd: '/workspace/src', limits: { wall_s: 9 } })
    const [prepared] = node.keeper.prepared
    assert.deepEqual(prepared?.workspace, { root: '/srv/workspaces', name: 'operator.ann' })
    const [{ spec } = { spec: undefined }] = node.keeper.started
    assert.deepEqual(plain(spec), {
      argv: ['true', 'a secret argument'],
      env: { SECRET: 'a secret value' },
      caps: ['network', 'read_anywhere', 'subprocess', 'workspace_rw'],
      masks: [],
      cwd: '/workspace/src',
      wallMs: 9000,
    })
  })

  const facts: Readonly<Record<string, { readonly change: object; readonly fact: string }>> = {
    'a folder outside the workspace': { change: { cwd: '/etc' }, fact: 'cwd' },
    'a folder that only looks inside': { change: { cwd: '/workspace/../etc' }, fact: 'cwd' },
    'a folder whose name begins the same': { change: { cwd: '/workspaces' }, fact: 'cwd' },
    'a program with another digest': {
      change: { exe: { path: '/bin/true', sha256: 'E'.repeat(43) } },
      fact: 'exe',
    },
  }
  for (const [what, { change, fact }] of Object.entries(facts)) {
    it(`refuses ${what}`, async (test) => {
      const node = await ReceivingNode.create(test)
      const receipt = await node.send(node.spawn({ ...change }))
      assert.equal(receipt?.ok, false)
      assert.deepEqual(receipt?.ok === false && [receipt.error.code, receipt.error.details?.['fact']], [
        'ZT-412-FACT',
        fact,
      ])
      assert.equal(node.keeper.started.length, 0)
    })
  }

  it('refuses a second stream than it may have open, before anything is consumed', async (test) => {
    const node = await ReceivingNode.create(test)
    for (const stream of ['s1', 's2', 's3', 's4']) await running(node, { out: { ...OUT, stream } })
    assert.equal(await refused(node, node.spawn({ out: { ...OUT, stream: 's5' } })), 'ZT-429-RATE')
    assert.equal(node.lastRejection()?.check, 15)
  })

  it('ends nothing and opens nothing when its stream has the name of another', async (test) => {
    const node = await ReceivingNode.create(test)
    const { cmd } = await running(node, { out: OUT })
    assert.ok(cmd.proc)
    const again = {
      v: 1,
      op: 'process.watch',
      node: node.node.id,
      proc: cmd.proc,
      started: 1001,
      follow: true,
    }
    const watch = node.parse({ ...again, from: { stdout: 0, stderr: 0 }, out: OUT })
    assert.equal(await refused(node, watch), 'ZT-409-EXISTS')
  })
})

describe('a folder of work', () => {
  it('is one principal’s own, and never shared by two', () => {
    const ids = [
      '/operator/ann',
      '/agent/ann/task/t1',
      '/agent/a/task/nn',
      '/ci/ann',
      `/agent/${'a'.repeat(60)}/task/t1`,
    ]
    const names = ids.map((path) => workspaceName(parseSpiffeId(`spiffe://mesh.example${path}`)))
    assert.equal(new Set(names).size, ids.length)
    assert.deepEqual(names.slice(0, 2), ['operator.ann', 'agent.ann.t1'])
    for (const name of names) assert.match(name, /^[a-z0-9](?:[a-z0-9._-]{0,62})$/)
  })
})

describe('a kill', () => {
  const kill = (node: ReceivingNode, fields: object): Command =>
    of(node, 'process.kill', { grace_ms: 100, ...fields })

  it('is anchored at once, and an ordinary spawn with the next interval', async (test) => {
    const node = await ReceivingNode.create(test)
    const { cmd, started } = await running(node)
    assert.equal(node.anchorRequests, 0)
    await node.send(kill(node, { proc: cmd.proc, started }))
    assert.equal(node.anchorRequests, 1)
  })

  it('names the process and its start, and is recorded', async (test) => {
    const node = await ReceivingNode.create(test)
    const { cmd, started } = await running(node)
    const receipt = await node.send(kill(node, { proc: cmd.proc, started }))
    assert.deepEqual(plain(receipt?.ok === true && receipt.result), {
      proc: cmd.proc,
      started,
      state: 'exited',
      exit: { code: 143, signal: 'TERM' },
    })
    assert.deepEqual(node.keeper.killed, [
      { proc: cmd.proc, started: String(started), signal: 'TERM', graceMs: 100 },
    ])
    assert.equal(node.rows('proc.killed').length, 1)
  })

  it('does not reach another start of the same id, nor one that is not there', async (test) => {
    const node = await ReceivingNode.create(test)
    const { cmd, started } = await running(node)
    assert.equal(await refused(node, kill(node, { proc: cmd.proc, started: started + 1 })), 'ZT-404-PROC')
    assert.equal(await refused(node, kill(node, { proc: 'p-zzzzzzzzzzzzzzzzzzzz', started })), 'ZT-404-PROC')
    assert.equal(node.keeper.killed.length, 0)
  })

  it('of what has ended says how it ended', async (test) => {
    const node = await ReceivingNode.create(test)
    const { cmd, started } = await running(node)
    node.processes.handle({ event: 'exited', record: node.keeper.end(cmd.proc, { code: 5 }) })
    await node.processes.ended(cmd.proc)
    const receipt = await node.send(kill(node, { proc: cmd.proc, started }))
    assert.deepEqual(plain(receipt?.ok === true && receipt.result), {
      proc: cmd.proc,
      started,
      state: 'exited',
      exit: { code: 5 },
    })
    assert.equal(node.keeper.killed.length, 0)
  })

  it('whose keeper falls silent is recorded as unknown, not as done', async (test) => {
    const node = await ReceivingNode.create(test)
    const { cmd, started } = await running(node)
    node.keeper.failures.set('kill', new ZtError('ZT-503-SANDBOX', 'gone'))
    assert.equal(await refused(node, kill(node, { proc: cmd.proc, started })), 'ZT-503-SANDBOX')
    assert.equal(node.rows('cmd.outcome_unknown')[0]?.obj?.['op'], 'process.kill')
    assert.equal(node.rows('proc.killed').length, 0)
    assert.equal(node.log.commands.all().length, 0)
  })
})

describe('a list', () => {
  it('shows what ran, and is itself a row', async (test) => {
    const node = await ReceivingNode.create(test)
    const { cmd } = await running(node)
    const receipt = await node.send(of(node, 'process.list', { all: true }))
    const { procs } = parseResult('process.list', receipt?.ok === true ? receipt.result : undefined)
    assert.deepEqual(
      procs.map(({ proc, owner, state }) => [proc, owner, state]),
      [[cmd.proc, node.operator.id, 'running']],
    )
    assert.equal(node.rows('proc.listed').length, 1)
  })
})

describe('a watch', () => {
  it('opens a stream for its caller, and is itself a row', async (test) => {
    const node = await ReceivingNode.create(test)
    const { cmd, started } = await running(node)
    const watch = of(node, 'process.watch', {
      proc: cmd.proc,
      started,
      from: { stdout: 0, stderr: 0 },
      follow: true,
      out: OUT,
    })
    const receipt = await node.send(watch)
    const result = parseResult('process.watch', receipt?.ok === true ? receipt.result : undefined)
    assert.equal(result.state, 'running')
    assert.equal(Buffer.from(result.out.epk, 'base64url').length, 32)
    assert.equal(node.rows('proc.watched').length, 1)
  })
})

describe('an export', () => {
  it('is refused beyond the end of the log', async (test) => {
    const node = await ReceivingNode.create(test)
    assert.equal(
      await refused(node, of(node, 'audit.export', { from: 1_000_000, out: OUT })),
      'ZT-422-SCHEMA',
    )
  })

  it('says how many rows come, and that it was made is one of them', async (test) => {
    const node = await ReceivingNode.create(test)
    const receipt = await node.send(of(node, 'audit.export', { from: 0, out: OUT }))
    const { size } = parseResult('audit.export', receipt?.ok === true ? receipt.result : undefined)
    assert.equal(size, (node.rows('audit.exported')[0]?.seq ?? 0) + 1)
  })
})
