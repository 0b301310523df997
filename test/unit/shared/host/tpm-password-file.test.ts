// A password comes from a private file or not at all.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { readPasswords } from '#shared/host/tpm/password-file.ts'
import { tempDir } from '#test/support/temp-dir.ts'

describe('a password file', () => {
  it('holds the password, with or without a newline; no file is no password', async (t) => {
    const dir = await tempDir(t)
    const [owner, endorsement] = [join(dir, 'owner'), join(dir, 'endorsement')]
    await writeFile(owner, 'of the owner\n', { mode: 0o600 })
    await writeFile(endorsement, 'x'.repeat(64), { mode: 0o600 })
    const { ownerPassword, endorsementPassword } = await readPasswords({ owner, endorsement })
    assert.equal(Buffer.from(ownerPassword).toString(), 'of the owner')
    assert.equal(endorsementPassword.length, 64)
    const none = await readPasswords({ owner: undefined, endorsement: undefined })
    assert.deepEqual([none.ownerPassword.length, none.endorsementPassword.length], [0, 0])
  })

  const refused: Record<string, (path: string) => Promise<void>> = {
    'is not there': () => Promise.resolve(),
    'others can read': async (path) => {
      await writeFile(path, 'secret')
      await chmod(path, 0o640)
    },
    'is empty': (path) => writeFile(path, '', { mode: 0o600 }),
    'is a newline alone': (path) => writeFile(path, '\n', { mode: 0o600 }),
    'is too long': (path) => writeFile(path, 'x'.repeat(65), { mode: 0o600 }),
    'is a link': async (path) => {
      await writeFile(`${path}-real`, 'secret', { mode: 0o600 })
      await symlink(`${path}-real`, path)
    },
    'is a folder': async (path) => {
      await mkdir(path, { mode: 0o700 })
    },
    'is a pipe': async (path) => {
      execFileSync('mkfifo', ['-m', '0600', path])
      await Promise.resolve()
    },
  }
  for (const [what, make] of Object.entries(refused)) {
    it(`is refused when it ${what}`, async (t) => {
      const path = join(await tempDir(t), 'password')
      await make(path)
      await assert.rejects(readPasswords({ owner: path, endorsement: undefined }), {
        code: 'ZT-400-CONFIG',
        details: { file: path },
      })
    })
  }
})
