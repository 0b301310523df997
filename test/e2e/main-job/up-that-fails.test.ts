// A mesh that is to stay and does not come up says why, and leaves no process behind.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { it } from 'node:test'
import { run } from '#ops/demo/programs.ts'
import { requireDist } from '#test/support/dist.ts'
import { needsMesh } from '#test/support/mesh.ts'
import { familyOf } from '#test/support/process-table.ts'
import { tempDir } from '#test/support/temp-dir.ts'

it('ends what it has started, and says what was wrong', { skip: needsMesh }, async (t) => {
  await requireDist()
  const dir = join(await tempDir(t), 'mesh')
  const child = join(import.meta.dirname, '..', '..', 'support', 'failing-mesh-child.ts')
  const { code, stdout, stderr } = await run([process.execPath, child, dir])
  assert.equal(code, 0, stderr)
  assert.match(stdout, /^ended after: .*ZT-400-CONFIG/s)
  assert.deepEqual(familyOf(dir), [])
})
