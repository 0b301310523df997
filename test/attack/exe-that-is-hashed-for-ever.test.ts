// Attack: have a node read and hash without end, by a file that is longer than it costs to make (a hole), and leave.
import assert from 'node:assert/strict'
import { chmod, truncate, writeFile } from 'node:fs/promises'
import { readFileSync, readdirSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { KeeperFixture, needsSandbox, RUN_AS, waitFor } from '#test/support/keeper.ts'

const GIB = 1024 ** 3

describe('a huge program', { skip: needsSandbox }, () => {
  let fixture: KeeperFixture
  let path = ''
  before(async () => {
    fixture = await KeeperFixture.create()
    path = join(fixture.dir, 'huge')
    await writeFile(path, '')
    await chmod(path, 0o755)
  })
  after(() => fixture.end())

  const prepare = (): Promise<unknown> =>
    fixture.keeper.prepare({
      path,
      searchPath: [],
      runAs: RUN_AS,
      workspace: { root: fixture.workspaceRoot, name: 'w' },
    })

  /** By the keeper until now, proc_pid_io(5). */
  const bytesRead = (): number =>
    Number(/^rchar: (\d+)$/m.exec(readFileSync(`/proc/${fixture.keeper.pid}/io`, 'utf8'))?.[1])

  function isHeld(): boolean {
    const fds = `/proc/${fixture.keeper.pid}/fd`
    return readdirSync(fds).some((fd) => {
      try {
        return readlinkSync(join(fds, fd)) === path
      } catch {
        // Closed since it was listed.
        return false
      }
    })
  }

  it('is refused by its length, before any of it is read', async () => {
    await truncate(path, 4 * GIB + 1)
    const read = bytesRead()
    await assert.rejects(prepare(), { code: 'ZT-412-FACT', details: { fact: 'exe-size' } })
    assert.ok(bytesRead() - read < GIB)
  })

  it('is not read to its end once nobody waits for it, also where it was asked for often', async () => {
    await truncate(path, 4 * GIB)
    const read = bytesRead()
    const asked = Promise.allSettled(Array.from({ length: 20 }, prepare))
    await waitFor(() => (isHeld() ? true : undefined), 'it to be read')
    await fixture.reconnect()
    await asked
    await waitFor(() => (isHeld() ? undefined : true), 'it to be closed')
    assert.ok(bytesRead() - read < 3 * GIB)
    assert.equal((await fixture.run(['true'])).code, 0)
  })
})
