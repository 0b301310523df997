import assert from 'node:assert/strict'
import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { closedAncestor, isWithin, mayExecute, mayWrite } from '#node-agent/sandbox/access.ts'
import { tempDir } from '#test/support/temp-dir.ts'

const ME = { uid: 1000, gid: 100 }
const stat = (mode: number, uid: number, gid: number): { mode: number; uid: number; gid: number } => ({
  mode,
  uid,
  gid,
})

const refused: Record<string, ReturnType<typeof stat>> = {
  'the owner of a file that only others may execute': stat(0o077, 1000, 1),
  'the group of a file that only others may execute': stat(0o707, 1, 100),
  'others of a file that owner and group may execute': stat(0o770, 1, 1),
  'anybody of a file without execute bits': stat(0o666, 1000, 100),
}
for (const [what, file] of Object.entries(refused)) {
  it(`does not let execute: ${what}`, () => assert.equal(mayExecute(file, ME), false))
}

it('lets execute by the class that the kernel would use', () => {
  assert.ok(mayExecute(stat(0o100, 1000, 1), ME))
  assert.ok(mayExecute(stat(0o010, 1, 100), ME))
  assert.ok(mayExecute(stat(0o001, 1, 1), ME))
})

it('takes a file for writable unless it is plain that nobody but another owner may write to it', () => {
  assert.equal(mayWrite(stat(0o755, 1, 100), ME), false)
  for (const file of [stat(0o555, 1000, 1), stat(0o775, 1, 1), stat(0o757, 1, 1), stat(0o777, 1, 100)]) {
    assert.equal(mayWrite(file, ME), true)
  }
})

it('knows inside from beside', () => {
  assert.ok(isWithin('/a/b', '/a') && isWithin('/a', '/a') && isWithin('/a', '/'))
  assert.ok(!isWithin('/ab', '/a') && !isWithin('/', '/a'))
})

it('names the outermost folder that a user cannot enter', async (t) => {
  const dir = await tempDir(t)
  await chmod(dir, 0o755)
  await mkdir(join(dir, 'shut/deeper'), { recursive: true })
  await chmod(join(dir, 'shut'), 0o700)
  const other = { uid: 4_000_000, gid: 4_000_000 }
  assert.equal(closedAncestor(join(dir, 'shut/deeper/file'), other, dir), join(dir, 'shut'))
  assert.equal(closedAncestor(join(dir, 'file'), other, dir), undefined)
})

it('takes a folder that is gone for one that cannot be entered', () => {
  assert.equal(closedAncestor('/nowhere/at/all', ME), '/nowhere')
})
