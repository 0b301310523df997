// The end of a log is cut off, below a head that the hub keeps, and everything that is left is in order: a whole and
// honestly signed log of an earlier time. Only who holds a later head can tell, and the hub does.
import assert from 'node:assert/strict'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { rowsOf } from '#test/support/audit-rows.ts'
import { AnchoredNode } from '#test/support/anchored-node.ts'
import { rewriteLog, signAnew } from '#test/support/log-thief.ts'
import { needsMesh, type TestMesh } from '#test/support/mesh.ts'

describe('a log that is truncated below the anchor', { skip: needsMesh }, () => {
  let node: AnchoredNode
  const backup = (mesh: TestMesh): string => join(mesh.dir, 'backup.db')
  before(async () => {
    node = await AnchoredNode.start((mesh) => {
      copyFileSync(mesh.auditFile('n1'), backup(mesh))
      copyFileSync(`${mesh.auditFile('n1')}.head`, `${backup(mesh)}.head`)
    })
  })
  after(() => node?.end())

  const cutOnly = (file: string): void => rewriteLog(file, (rows) => rows.slice(0, node.seq))
  const cutAndSign = (file: string): void => {
    cutOnly(file)
    signAnew(file, node.key)
  }
  /** The whole file as it was earlier: rows, heads, and what the agent remembers of its anchors. */
  const restore = (file: string): void => {
    copyFileSync(backup(node.mesh), file)
    copyFileSync(`${backup(node.mesh)}.head`, `${file}.head`)
  }

  const copies: Record<string, (file: string) => void> = {
    'cut off': cutOnly,
    'cut off and signed anew': cutAndSign,
    'restored from a backup': restore,
  }
  for (const [how, forge] of Object.entries(copies)) {
    it(`is found in a copy that was ${how}`, async () => {
      const { exit, firstBad } = await node.verifyCopy(forge)
      assert.deepEqual([exit, firstBad?.code], [9, 'ZT-490-TRUNCATED'])
      // The row that is named is the first one that is not there.
      assert.ok(firstBad !== undefined && firstBad.seq <= node.seq)
    })

    it(`keeps the agent from working when it was ${how}`, async () => {
      assert.equal(await node.startOn(forge), 'ZT-490-TRUNCATED')
    })
  }

  it('leaves a row in the log of the hub, which was asked to anchor it', () => {
    assert.ok(
      rowsOf(node.mesh.hubLog).some((row) => row.type === 'anchor.rejected' && row.obj?.['node'] === 'n1'),
    )
  })

  it('is found by an operator who verifies the log of the running node', async () => {
    cutOnly(node.file)
    const { exit, firstBad } = await node.verify()
    assert.equal(exit, 9)
    assert.ok(firstBad !== undefined && firstBad.seq <= node.seq)
  })
})
