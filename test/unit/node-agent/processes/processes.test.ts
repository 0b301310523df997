import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ReceivingNode } from '#test/support/receiving-node.ts'
import { eventually } from '#test/support/nats.ts'

const started = (node: ReceivingNode): number => Number(node.rows('proc.started')[0]?.obj?.['started'])

describe('what the keeper tells', () => {
  it('of an end that comes before the answer to the start is written after the start', async (test) => {
    const node = await ReceivingNode.create(test)
    const cmd = node.spawn()
    const append = node.log.append.bind(node.log)
    node.log.append = (draft, also) => {
      // The process has ended by the time that its start is being written.
      if (draft.type === 'proc.started') {
        node.processes.handle({ event: 'exited', record: node.keeper.end(cmd.proc, { code: 0 }) })
      }
      return append(draft, also)
    }
    await node.send(cmd)
    await node.processes.ended(cmd.proc)
    assert.deepEqual(
      node.rows().map(({ type }) => type),
      ['log.genesis', 'cmd.accepted', 'proc.started', 'proc.exited'],
    )
  })

  it('twice is written once', async (test) => {
    const node = await ReceivingNode.create(test)
    const cmd = node.spawn()
    await node.send(cmd)
    const record = node.keeper.end(cmd.proc, { code: 7 })
    node.processes.handle({ event: 'exited', record })
    node.processes.handle({ event: 'exited', record })
    assert.deepEqual(await node.processes.ended(cmd.proc), { code: 7 })
    await node.processes.settleAll()
    assert.equal(node.rows('proc.exited').length, 1)
  })

  it('and could not be written is asked for again', async (test) => {
    const node = await ReceivingNode.create(test)
    const cmd = node.spawn()
    await node.send(cmd)
    const { database } = node.log.durable
    database.exec('PRAGMA query_only = ON')
    node.processes.handle({ event: 'exited', record: node.keeper.end(cmd.proc, { code: 0 }) })
    await node.processes.serially(cmd.proc, () => Promise.resolve())
    database.exec('PRAGMA query_only = OFF')
    assert.equal(node.rows('proc.exited').length, 0)
    await node.processes.settleAll()
    assert.equal(node.rows('proc.exited').length, 1)
  })

  it('is asked for after its connection was lost, and a lost process is said to be so', async (test) => {
    const node = await ReceivingNode.create(test)
    const cmd = node.spawn()
    await node.send(cmd)
    node.keeper.records.clear()
    await node.processes.settleAll()
    assert.equal(node.rows('cmd.outcome_unknown')[0]?.obj?.['why'], 'no-record')
    assert.deepEqual(await node.processes.ended(cmd.proc), {})
  })

  it('says nothing about a process that is just being started', async (test) => {
    const node = await ReceivingNode.create(test)
    const reached = Promise.withResolvers<void>()
    const go = Promise.withResolvers<void>()
    node.keeper.beforeStart = () => {
      reached.resolve()
      return go.promise
    }
    const sent = node.send(node.spawn())
    await reached.promise
    await node.processes.settleAll()
    go.resolve()
    assert.equal((await sent)?.ok, true)
    assert.equal(node.rows('cmd.outcome_unknown').length, 0)
  })

  it('is believed about a start that it went away from: it runs, so it is recorded', async (test) => {
    const { ZtError } = await import('#shared/errors/error.ts')
    const node = await ReceivingNode.create(test)
    const cmd = node.spawn()
    const start = node.keeper.start.bind(node.keeper)
    node.keeper.start = async (request) => {
      await start(request)
      throw new ZtError('ZT-504-OUTCOME-UNKNOWN', 'gone')
    }
    const receipt = await node.send(cmd)
    assert.equal(receipt?.ok === false && receipt.error.code, 'ZT-504-OUTCOME-UNKNOWN')
    await eventually('the start is recorded', () => node.rows('proc.started').length === 1)
    assert.equal(node.rows('cmd.failed').length, 0)
    assert.ok(started(node) > 0)
  })
})
