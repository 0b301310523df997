import assert from 'node:assert/strict'
import { closeSync, existsSync, statSync } from 'node:fs'
import { chmod, chown, mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import {
  isWorkspaceName,
  openWorkspace,
  workingDirectory,
  type Workspace,
} from '#node-agent/sandbox/workspace.ts'
import { RUN_AS } from '#test/support/keeper.ts'
import { tempDir } from '#test/support/temp-dir.ts'

const asRoot = process.geteuid?.() === 0

async function root(t: TestContext): Promise<string> {
  const dir = await tempDir(t)
  await chmod(dir, 0o711)
  return join(dir, 'workspaces')
}

async function opened(t: TestContext): Promise<Workspace> {
  const workspace = openWorkspace({ root: await root(t), name: 'w' }, RUN_AS)
  t.after(() => closeSync(workspace.fd))
  return workspace
}

describe('a workspace', () => {
  it('is made for the user of workloads and nobody else', async (t) => {
    const { path } = await opened(t)
    const stat = statSync(path)
    assert.deepEqual([stat.uid, stat.gid, stat.mode & 0o7777], [RUN_AS.uid, RUN_AS.gid, 0o700])
  })

  it('is the same one the next time', async (t) => {
    const first = await opened(t)
    await writeFile(join(first.path, 'kept'), '')
    const again = openWorkspace({ root: join(first.path, '..'), name: 'w' }, RUN_AS)
    closeSync(again.fd)
    assert.ok(existsSync(join(again.path, 'kept')))
  })

  for (const name of [
    '',
    '.',
    '..',
    '../x',
    'a/b',
    '/abs',
    'A',
    '-x',
    '.hidden',
    'a\0',
    'x'.repeat(64),
    'ü',
  ]) {
    it(`is not named ${JSON.stringify(name)}`, async (t) => {
      assert.equal(isWorkspaceName(name), false)
      const ref = { root: await root(t), name }
      assert.throws(() => openWorkspace(ref, RUN_AS), { code: 'ZT-412-FACT', details: { fact: 'workspace' } })
    })
  }

  it('is not a link, wherever that leads', async (t) => {
    const dir = await root(t)
    await mkdir(join(dir, 'real'), { recursive: true })
    await symlink('real', join(dir, 'w'))
    assert.throws(() => openWorkspace({ root: dir, name: 'w' }, RUN_AS), { code: 'ZT-412-FACT' })
  })

  it('is not a file', async (t) => {
    const dir = await root(t)
    await mkdir(dir)
    await writeFile(join(dir, 'w'), '')
    assert.throws(() => openWorkspace({ root: dir, name: 'w' }, RUN_AS), { code: 'ZT-412-FACT' })
  })

  it("is not another user's folder", { skip: asRoot ? false : 'needs root' }, async (t) => {
    const dir = await root(t)
    await mkdir(join(dir, 'w'), { recursive: true })
    await chown(join(dir, 'w'), 12345, 12345)
    assert.throws(() => openWorkspace({ root: dir, name: 'w' }, RUN_AS), { code: 'ZT-412-FACT' })
  })

  it('is not made below a root that others may write to', async (t) => {
    const dir = await root(t)
    await mkdir(dir)
    await chmod(dir, 0o777)
    assert.throws(() => openWorkspace({ root: dir, name: 'w' }, RUN_AS), { code: 'ZT-412-FACT' })
  })

  it('is not made where its user cannot come', { skip: asRoot ? false : 'needs root' }, async (t) => {
    const dir = await tempDir(t)
    const ref = { root: join(dir, 'workspaces'), name: 'w' }
    assert.throws(() => openWorkspace(ref, RUN_AS), { code: 'ZT-412-FACT', message: /cannot enter/ })
  })
})

describe('a working directory', () => {
  it('is the workspace unless one is named', async (t) => {
    assert.equal(workingDirectory(undefined, await opened(t)), '/workspace')
  })

  it('may be a folder of the workspace, also by a link inside it', async (t) => {
    const workspace = await opened(t)
    await mkdir(join(workspace.path, 'a/b'), { recursive: true })
    await symlink('a/b', join(workspace.path, 'short'))
    assert.equal(workingDirectory('/workspace/a/b', workspace), '/workspace/a/b')
    assert.equal(workingDirectory('a/../a', workspace), '/workspace/a')
    assert.equal(workingDirectory('/workspace/short', workspace), '/workspace/a/b')
  })

  it('is refused outside the workspace, however that is written', async (t) => {
    const workspace = await opened(t)
    await symlink('/etc', join(workspace.path, 'etc'))
    await symlink('..', join(workspace.path, 'up'))
    await writeFile(join(workspace.path, 'file'), '')
    for (const cwd of [
      '/',
      '/etc',
      '/workspaces',
      '..',
      '/workspace/..',
      '/workspace/etc',
      'up',
      'file',
      'missing',
    ]) {
      assert.throws(
        () => workingDirectory(cwd, workspace),
        { code: 'ZT-412-FACT', details: { fact: 'cwd' } },
        cwd,
      )
    }
  })
})
