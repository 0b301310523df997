// One row says something else than it did: found in a copy, in the log of a running node, and by the agent itself before
// it works on. Whoever changed it may have made every hash again, and may hold the key that signs the log: then the heads
// that the hub keeps contradict it.
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { AnchoredNode } from '#test/support/anchored-node.ts'
import { asHistory, rewriteLog, signAnew, withBody, type Rewrite } from '#test/support/log-thief.ts'
import { needsMesh } from '#test/support/mesh.ts'

describe('an audit row that is edited', { skip: needsMesh }, () => {
  let node: AnchoredNode
  before(async () => {
    node = await AnchoredNode.start()
  })
  after(() => node?.end())

  /** Another program ran, it now says: the same number of bytes. */
  const edit = (): Rewrite =>
    withBody(node.seq, (body) => {
      const at = body.indexOf('/usr/bin/true')
      assert.ok(at > 0)
      body.write('/usr/bin/yes0', at)
    })
  const editOnly = (file: string): void => rewriteLog(file, edit())
  const editAndHash = (file: string): void => rewriteLog(file, asHistory(edit()))
  const editAndSign = (file: string): void => {
    editAndHash(file)
    signAnew(file, node.key)
  }

  it('is not found where nothing was edited', async () => {
    assert.deepEqual(await node.verifyCopy(() => undefined), { exit: 0, firstBad: undefined })
    assert.deepEqual(await node.verify(), { exit: 0, firstBad: undefined })
  })

  it('is named by whoever verifies a copy', async () => {
    const { exit, firstBad } = await node.verifyCopy(editOnly)
    assert.deepEqual([exit, firstBad?.seq, firstBad?.code], [9, node.seq, 'ZT-490-ROW'])
  })

  it('is found in a copy when every hash was made again, by the heads that were signed', async () => {
    const { exit, firstBad } = await node.verifyCopy(editAndHash)
    assert.equal(exit, 9)
    assert.ok(firstBad !== undefined && firstBad.seq <= node.seq)
  })

  it('is found in a copy when the key of the log signed for it, by the heads that the hub keeps', async () => {
    const { exit, firstBad } = await node.verifyCopy(editAndSign)
    assert.deepEqual([exit, firstBad?.code], [9, 'ZT-490-ANCHOR'])
    assert.ok(firstBad !== undefined && firstBad.seq <= node.seq)
  })

  const refusals: Record<string, [forge: (file: string) => void, code: string]> = {
    'as it is': [editOnly, 'ZT-490-ROW'],
    'with every hash made again': [editAndHash, 'ZT-490-FORK'],
    'with every hash made again and signed': [editAndSign, 'ZT-490-PROOF'],
  }
  for (const [how, [forge, code]] of Object.entries(refusals)) {
    it(`keeps the agent from working: ${how}`, async () => {
      assert.equal(await node.startOn(forge), code)
    })
  }

  it('is named by an operator who verifies the log of the running node', async () => {
    editOnly(node.file)
    const { exit, firstBad } = await node.verify()
    assert.deepEqual([exit, firstBad?.seq, firstBad?.code], [9, node.seq, 'ZT-490-ROW'])
  })
})
