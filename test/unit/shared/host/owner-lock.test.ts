import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { pathToFileURL } from 'node:url'
import { takeOwnerLock } from '#shared/host/owner-lock.ts'
import { tempDir } from '#test/support/temp-dir.ts'

const MODULE = pathToFileURL(join(import.meta.dirname, '../../../../shared/host/owner-lock.ts')).href

/** The code with which another process is refused, or 'taken'. */
function byAnother(file: string): string {
  const script = `import { takeOwnerLock } from ${JSON.stringify(MODULE)}
    try { takeOwnerLock(${JSON.stringify(file)}); process.stdout.write('taken') }
    catch (error) { process.stdout.write(String(error.code)) }`
  return spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' }).stdout
}

describe('the lock of an owner', () => {
  it('keeps out another process, also after this one tried twice', async (t) => {
    const file = join(await tempDir(t), 'lock')
    const lock = takeOwnerLock(file)
    assert.equal(byAnother(file), 'ZT-503-AUDIT')
    assert.throws(() => takeOwnerLock(file), { code: 'ZT-503-AUDIT' })
    assert.equal(byAnother(file), 'ZT-503-AUDIT')
    lock.release()
    assert.equal(byAnother(file), 'taken')
    takeOwnerLock(file).release()
  })

  it('is refused where no file can be made', async (t) => {
    const file = join(await tempDir(t), 'none', 'lock')
    assert.throws(() => takeOwnerLock(file), { code: 'ZT-503-AUDIT' })
  })
})
