// Attack: run without being seen to run, by looking like the sandbox's own setup. Whatever is not seen has no row, is in
// no list and cannot be killed.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { hasEnded } from '#node-agent/keeper/process-tree.ts'
import type { ProcId } from '#shared/identity/names.ts'
import { staticProgram } from '#test/support/elf.ts'
import { KeeperFixture, needsSandbox, randomProc, waitFor, type Spawned } from '#test/support/keeper.ts'

// Writes a nul over the first byte of argv[0], and waits for ever.
const NAMELESS: Readonly<Record<string, readonly number[]>> = {
  x64: [0x48, 0x8b, 0x7c, 0x24, 0x08, 0xc6, 0x07, 0x00, 0xb8, 0x22, 0, 0, 0, 0x0f, 0x05, 0xeb, 0xf7],
  arm64: [0xe0, 0x07, 0x40, 0xf9, 0x1f, 0, 0, 0x39, 0, 0, 0, 0x14],
}
const COMPILER = '/usr/bin/cc'

describe('a process that looks like the setup of its sandbox', { skip: needsSandbox }, () => {
  let fixture: KeeperFixture
  let dir = ''
  before(async () => {
    fixture = await KeeperFixture.create()
    dir = join(fixture.dir, 'bin')
    await mkdir(dir)
    await chmod(dir, 0o755)
  })
  after(() => fixture.end())

  /** It is told while it runs, it is in the list, and it can be killed. */
  async function assertSeen(proc: ProcId, starting: Promise<Spawned>): Promise<void> {
    const told = await waitFor(
      () => fixture.events.find((event) => event.event === 'started' && event.proc === proc),
      'it to be told',
    )
    assert.equal(told.event, 'started')
    const { pid, started } = await starting
    assert.equal(hasEnded(pid, started), false)
    const { record, members } = await fixture.keeper.inspect(proc)
    assert.deepEqual([record.state, members.length], ['running', 1])
    assert.ok((await fixture.keeper.list(false)).some((listed) => listed.proc === proc))
    const ended = await fixture.keeper.kill({ proc, started, signal: 'KILL', graceMs: 0 })
    assert.equal(ended.state, 'exited')
    assert.ok(hasEnded(pid, started))
  }

  it('by clearing its own name is seen all the same', async () => {
    const path = join(dir, 'nameless')
    await writeFile(path, staticProgram(NAMELESS[process.arch] ?? []))
    await chmod(path, 0o755)
    const proc = randomProc()
    await assertSeen(proc, fixture.spawn(['nameless'], { path, proc }))
  })

  it('by taking the very name of the setup is seen all the same', async () => {
    const path = join(dir, 'sleeper')
    await copyFile('/usr/bin/sleep', path)
    await chmod(path, 0o755)
    const proc = randomProc()
    await assertSeen(proc, fixture.spawn([`ztmesh:${proc}`, '1000'], { path, proc }))
  })

  const skip = existsSync(COMPILER) ? false : 'needs a C compiler'
  it(
    'by being the program of the setup, with other code loaded into it, is seen all the same',
    { skip },
    async () => {
      const source = join(dir, 'idle.c')
      await writeFile(
        source,
        `#include <unistd.h>
      __attribute__((constructor)) static void idle(int argc, char **argv) { argv[0][0] = 0; for (;;) pause(); }`,
      )
      execFileSync(COMPILER, ['-shared', '-fPIC', '-o', join(dir, 'idle.so'), source])
      const proc = randomProc()
      // The tree of the host is shown, but for its temporary folders: so by way of the workspace.
      await fixture.run(['true'])
      await copyFile(join(dir, 'idle.so'), join(fixture.workspaceRoot, 'w/idle.so'))
      await chmod(join(fixture.workspaceRoot, 'w/idle.so'), 0o644)
      const env = { LD_PRELOAD: '/workspace/idle.so' }
      await assertSeen(proc, fixture.spawn(['bwrap'], { path: '/usr/bin/bwrap', proc, env }))
    },
  )
})
