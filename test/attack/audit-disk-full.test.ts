// No row, no action: when the log cannot be written, nothing is started, nothing is consumed, and the node says why. A
// process whose start could not be written down does not stay.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ReceivingNode } from '#test/support/receiving-node.ts'

/** Leaves the file no page to grow by: SQLite then fails as on a full disk (SQLITE_FULL). */
function fillDisk(node: ReceivingNode): void {
  const { database } = node.log.durable
  const pages = Number(database.prepare('PRAGMA page_count').get()?.['page_count'])
  database.exec(`PRAGMA max_page_count = ${pages}`)
}

function freeDisk(node: ReceivingNode): void {
  node.log.durable.database.exec('PRAGMA max_page_count = 4294967294')
}

/** Spawns until the free pages that are left are used up. */
async function spawnUntilFull(node: ReceivingNode): Promise<number> {
  for (let ran = 0; ran < 500; ran += 1) {
    const receipt = await node.send(node.spawn())
    if (receipt?.ok === false) {
      assert.equal(receipt.error.code, 'ZT-503-AUDIT')
      return ran
    }
  }
  throw new Error('the disk did not fill up')
}

describe('a full disk under the audit log', () => {
  it('refuses the spawn, and starts nothing', async (test) => {
    const node = await ReceivingNode.create(test)
    fillDisk(node)
    const ran = await spawnUntilFull(node)
    const { length: started } = node.keeper.started
    // The last one may have been started and then ended again, because its start could not be written.
    assert.equal(started - node.keeper.killed.length, ran)
    assert.equal(await node.refusal(node.message(node.spawn())), 'ZT-503-AUDIT')
    assert.equal(node.keeper.started.length, started)
  })

  it('consumes nothing: the same token runs when there is room again', async (test) => {
    const node = await ReceivingNode.create(test)
    fillDisk(node)
    await spawnUntilFull(node)
    const cmd = node.spawn()
    const token = node.token(cmd)
    assert.equal(await node.refusal(node.message(cmd, { token })), 'ZT-503-AUDIT')
    freeDisk(node)
    assert.equal((await node.send(cmd, { token }))?.ok, true)
  })

  it('ends a process whose start could not be written', async (test) => {
    const node = await ReceivingNode.create(test)
    // Full from the moment in which the process is being started: after `cmd.accepted`, before `proc.started`.
    node.keeper.beforeStart = async () => {
      node.log.durable.database.exec('PRAGMA query_only = ON')
    }
    const receipt = await node.send(node.spawn())
    assert.equal(receipt?.ok === false && receipt.error.code, 'ZT-503-AUDIT')
    assert.equal(node.keeper.killed.length, 1)
    node.log.durable.database.exec('PRAGMA query_only = OFF')
  })

  it('still refuses a message that was taken before', async (test) => {
    const node = await ReceivingNode.create(test)
    const message = node.message(node.spawn())
    await node.deliver(message)
    fillDisk(node)
    await spawnUntilFull(node)
    assert.equal(await node.refusal(message), 'ZT-409-REPLAY')
  })
})
