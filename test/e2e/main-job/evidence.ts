// What was done can be shown afterwards, to somebody who asks nobody.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { copyLog } from '#ops/demo/tamper.ts'
import type { TestMesh } from '#test/support/mesh.ts'

interface Report {
  readonly ok: boolean
  readonly items: readonly {
    readonly log: string
    readonly ok: boolean
    readonly rows: number
    readonly anchored: { readonly count: number } | null
  }[]
}

export function describeEvidence(mesh: () => TestMesh): void {
  const folder = (): string => join(mesh().dir, 'evidence')
  const offline = (copy: string): Promise<Report> => {
    const hubLog = join(folder(), 'hub.ztlog')
    return mesh().json<Report>(['audit', 'verify', '--file', copy, '--hub-log', hubLog])
  }

  describe('the evidence', () => {
    it('verifies online, and again offline from what was saved', async () => {
      const online = await mesh().json<Report>(['audit', 'verify', '--save', folder()])
      assert.equal(online.ok, true)
      assert.deepEqual(online.items.map(({ log }) => log).toSorted(), ['hub', 'n1', 'n2'])
      for (const { log, rows, anchored } of online.items) {
        assert.ok(rows > 5, log)
        assert.ok(log === 'hub' || (anchored?.count ?? 0) > 0, log)
      }
      for (const node of ['n1', 'n2']) {
        const { ok, items } = await offline(join(folder(), `${node}.ztlog`))
        const saved = items.find((item) => item.log.endsWith(`${node}.ztlog`))
        assert.deepEqual([ok, saved?.rows], [true, online.items.find((item) => item.log === node)?.rows])
      }
    })

    it('verifies offline from a copy of the database of a node', async () => {
      const copy = join(mesh().dir, 'copy.db')
      copyLog(mesh().auditFile('n1'), copy)
      assert.equal((await offline(copy)).ok, true)
    })
  })
}
