// The agent is killed after a command was accepted and before its process is on record as started. Whatever the keeper
// did in between, the next agent writes down what became of it, and nothing is started a second time.
import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { recover } from '#node-agent/recover.ts'
import type { SpawnCommand } from '#shared/protocol/command.ts'
import { procRecord } from '#test/fakes/fake-keeper.ts'
import { ReceivingNode } from '#test/support/receiving-node.ts'

/** Accepts a spawn, and stops for ever where the process would be started. */
async function acceptAndStop(node: ReceivingNode): Promise<{ cmd: SpawnCommand; token: string }> {
  const reached = Promise.withResolvers<void>()
  node.keeper.beforeStart = () => {
    reached.resolve()
    return new Promise(() => undefined)
  }
  const cmd = node.spawn()
  const token = node.token(cmd)
  void node.send(cmd, { token })
  await reached.promise
  assert.deepEqual(
    node.rows().map(({ type }) => type),
    ['log.genesis', 'cmd.accepted'],
  )
  node.keeper.beforeStart = () => Promise.resolve()
  await node.restart()
  return { cmd, token }
}

const typesAfter = (node: ReceivingNode): string[] =>
  node
    .rows()
    .map(({ type }) => type)
    .filter((type) => !['log.genesis', 'log.recovered', 'cmd.accepted', 'cmd.rejected'].includes(type))

describe('a kill -9 between accepted and started', () => {
  it('leaves "outcome unknown" if the keeper never heard of it', async (test) => {
    const node = await ReceivingNode.create(test)
    const { cmd } = await acceptAndStop(node)
    await recover(node.log, node.processes)
    assert.deepEqual(typesAfter(node), ['cmd.outcome_unknown'])
    const [row] = node.rows('cmd.outcome_unknown')
    assert.equal(row?.code, 'ZT-504-OUTCOME-UNKNOWN')
    assert.equal(row?.cmd, node.rows('cmd.accepted')[0]?.cmd)
    assert.equal(row?.obj?.['proc'], cmd.proc)
  })

  it('is made up for if the process runs: it is recorded as started, and goes on', async (test) => {
    const node = await ReceivingNode.create(test)
    const { cmd } = await acceptAndStop(node)
    node.keeper.records.set(cmd.proc, procRecord(cmd.proc, { started: '4711', pid: 5 }))
    await recover(node.log, node.processes)
    assert.deepEqual(typesAfter(node), ['proc.started'])
    assert.equal(node.rows('proc.started')[0]?.obj?.['started'], 4711)
  })

  it('is made up for if the process has ended meanwhile: both rows, in order', async (test) => {
    const node = await ReceivingNode.create(test)
    const { cmd } = await acceptAndStop(node)
    node.keeper.end(cmd.proc, { code: 3 })
    await recover(node.log, node.processes)
    assert.deepEqual(typesAfter(node), ['proc.started', 'proc.exited'])
    assert.equal(node.rows('proc.exited')[0]?.obj?.['code'], 3)
  })

  it('leaves "outcome unknown" if the keeper ended with it', async (test) => {
    const node = await ReceivingNode.create(test)
    const { cmd } = await acceptAndStop(node)
    node.keeper.records.set(cmd.proc, procRecord(cmd.proc, { state: 'lost' }))
    await recover(node.log, node.processes)
    assert.deepEqual(typesAfter(node), ['cmd.outcome_unknown'])
  })

  it('says that it failed if the keeper knows that the program never ran', async (test) => {
    const node = await ReceivingNode.create(test)
    const { cmd } = await acceptAndStop(node)
    node.keeper.records.set(
      cmd.proc,
      procRecord(cmd.proc, { state: 'failed', reason: 'no such interpreter' }),
    )
    await recover(node.log, node.processes)
    assert.deepEqual(typesAfter(node), ['cmd.failed'])
  })

  it('runs nothing twice, whoever asks again and however', async (test) => {
    const node = await ReceivingNode.create(test)
    const { cmd, token } = await acceptAndStop(node)
    await recover(node.log, node.processes)
    assert.equal(await node.refusal(node.message(cmd, { token })), 'ZT-409-CONSUMED')
    assert.equal(await node.refusal(node.message(cmd)), 'ZT-409-IDENTIFIER')
    assert.equal(node.keeper.started.length, 0)
  })

  it('is settled once: a second recovery adds nothing', async (test) => {
    const node = await ReceivingNode.create(test)
    await acceptAndStop(node)
    await recover(node.log, node.processes)
    const { size } = node.log.durable
    await node.restart()
    await recover(node.log, node.processes)
    assert.deepEqual(
      node
        .rows()
        .slice(size)
        .map(({ type }) => type)
        .filter((type) => type !== 'log.recovered'),
      [],
    )
  })

  it('of a real process leaves a log that opens, and says what was open', async (test) => {
    const node = await ReceivingNode.create(test)
    await node.log.close()
    const child = fork(join(import.meta.dirname, '..', 'support', 'accepting-child.ts'), [node.dir], {
      serialization: 'json',
      stdio: 'inherit',
    })
    child.send({ logKey: node.logKey.export({ type: 'pkcs8', format: 'pem' }) })
    const [said] = (await once(child, 'message')) as [{ proc: string }]
    child.kill('SIGKILL')
    await once(child, 'exit')
    await node.restart()
    await recover(node.log, node.processes)
    assert.deepEqual(typesAfter(node), ['cmd.outcome_unknown'])
    assert.equal(node.rows('cmd.outcome_unknown')[0]?.obj?.['proc'], said.proc)
  })
})
