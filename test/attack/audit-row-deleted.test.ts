// One row is gone, as if it had never been: found in a copy, in the log of a running node, and by the agent itself before
// it works on, also when the later rows were numbered anew, hashed anew, and signed with the log's own key.
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { AnchoredNode } from '#test/support/anchored-node.ts'
import { asHistory, rewriteLog, signAnew, withoutRow } from '#test/support/log-thief.ts'
import { needsMesh } from '#test/support/mesh.ts'

describe('an audit row that is deleted', { skip: needsMesh }, () => {
  let node: AnchoredNode
  before(async () => {
    node = await AnchoredNode.start()
  })
  after(() => node?.end())

  const deleteOnly = (file: string): void => rewriteLog(file, withoutRow(node.seq))
  const deleteAndHash = (file: string): void => rewriteLog(file, asHistory(withoutRow(node.seq)))
  const deleteAndSign = (file: string): void => {
    deleteAndHash(file)
    signAnew(file, node.key)
  }

  it('is not missed where nothing was deleted', async () => {
    assert.deepEqual(await node.verifyCopy(() => undefined), { exit: 0, firstBad: undefined })
  })

  it('is named by whoever verifies a copy', async () => {
    const { exit, firstBad } = await node.verifyCopy(deleteOnly)
    assert.deepEqual([exit, firstBad?.seq, firstBad?.code], [9, node.seq, 'ZT-490-CHAIN'])
  })

  it('is missed in a copy when every hash was made again, by the heads that were signed', async () => {
    const { exit, firstBad } = await node.verifyCopy(deleteAndHash)
    assert.equal(exit, 9)
    assert.ok(firstBad !== undefined && firstBad.seq <= node.seq)
  })

  it('is missed in a copy when the key of the log signed for it, by the heads that the hub keeps', async () => {
    const { exit, firstBad } = await node.verifyCopy(deleteAndSign)
    assert.deepEqual([exit, firstBad?.code], [9, 'ZT-490-ANCHOR'])
    assert.ok(firstBad !== undefined && firstBad.seq <= node.seq)
  })

  const refusals: Record<string, [forge: (file: string) => void, code: string]> = {
    'as it is': [deleteOnly, 'ZT-490-CHAIN'],
    'with every hash made again': [deleteAndHash, 'ZT-490-TRUNCATED'],
    'with every hash made again and signed': [deleteAndSign, 'ZT-490-PROOF'],
  }
  for (const [how, [forge, code]] of Object.entries(refusals)) {
    it(`keeps the agent from working: ${how}`, async () => {
      assert.equal(await node.startOn(forge), code)
    })
  }

  it('is named by an operator who verifies the log of the running node', async () => {
    deleteOnly(node.file)
    const { exit, firstBad } = await node.verify()
    assert.deepEqual([exit, firstBad?.seq, firstBad?.code], [9, node.seq, 'ZT-490-CHAIN'])
  })
})
