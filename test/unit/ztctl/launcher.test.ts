// The launcher runs the source of its checkout, from anywhere and through a link, and keeps compiled code beside it.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, it } from 'node:test'
import { ROOT } from '#test/support/sources.ts'

const folder = mkdtempSync(join(tmpdir(), 'ztctl-launcher-'))
after(() => rmSync(folder, { recursive: true }))

function launch(program: string, args: readonly string[], cwd: string): ReturnType<typeof spawnSync> {
  return spawnSync(program, args, {
    cwd,
    encoding: 'utf8',
    env: { PATH: `${join(process.execPath, '..')}:/usr/bin:/bin` },
  })
}

it('runs from another folder, and through a link', () => {
  symlinkSync(join(ROOT, 'ztctl'), join(folder, 'zt'))
  for (const program of [join(ROOT, 'ztctl'), join(folder, 'zt')]) {
    const { status, stdout, stderr } = launch(program, ['version'], folder)
    assert.equal(stderr, '')
    assert.match(String(stdout), /^ztctl \d/)
    assert.equal(status, 0)
  }
})

it('passes arguments on untouched', () => {
  const { status, stderr } = launch(join(ROOT, 'ztctl'), ['a b"$(id)'], folder)
  assert.equal(status, 2)
  assert.match(String(stderr), /unknown verb "a b\\"\$\(id\)"/)
})

it('runs the bundle where there is no source', () => {
  const installed = join(folder, 'installed')
  mkdirSync(installed)
  copyFileSync(join(ROOT, 'ztctl'), join(installed, 'ztctl'))
  writeFileSync(join(installed, 'ztctl.js'), 'console.log("bundle", ...process.argv.slice(2))')
  assert.equal(launch(join(installed, 'ztctl'), ['x', 'y z'], folder).stdout, 'bundle x y z\n')
})
