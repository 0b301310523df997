// Attack: have other bytes run than those that were hashed, by writing them into the same file: of the workspace, where
// another process of the same principal can write.
import assert from 'node:assert/strict'
import { chmod, chown, open, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { sha256Text } from '#shared/encoding/digest.ts'
import { isZtError } from '#shared/errors/error.ts'
import { sleep, systemClock } from '#shared/host/clock.ts'
import { DEFAULT_CAPABILITIES } from '#shared/protocol/sandbox-capability.ts'
import { KeeperFixture, needsSandbox, randomProc, RUN_AS, VISIBLE_PARENT } from '#test/support/keeper.ts'

const GOOD = '#!/bin/sh\necho good\n'
const EVIL = '#!/bin/sh\necho EVIL\n'
// More than a shell reads at once.
const PADDING = `#${'.'.repeat(64 * 1024)}\n`

describe('a program that its own user can write to', { skip: needsSandbox }, () => {
  let fixture: KeeperFixture
  before(async () => {
    fixture = await KeeperFixture.create({ parent: VISIBLE_PARENT })
    await fixture.run(['true'])
  })
  after(() => fixture.end())

  const places: Record<string, (name: string) => { host: string; path: string }> = {
    'of the workspace': (name) => ({
      host: join(fixture.workspaceRoot, 'w', name),
      path: `/workspace/${name}`,
    }),
    elsewhere: (name) => ({ host: join(fixture.dir, name), path: join(fixture.dir, name) }),
  }

  async function write(host: string, text: string): Promise<void> {
    await writeFile(host, text)
    await chmod(host, 0o755)
    await chown(host, RUN_AS.uid, RUN_AS.gid)
  }

  async function overwrite(host: string, text: string): Promise<void> {
    const file = await open(host, 'r+')
    await file.write(text, 0)
    await file.close()
  }

  for (const [what, place] of Object.entries(places)) {
    it(`${what} runs to its end as it was hashed, whatever is written over it meanwhile`, async () => {
      const { host, path } = place('slow')
      const text = (last: string): string =>
        `#!/bin/sh\necho ready\nwhile [ ! -e /workspace/go ]; do sleep 0.01; done\n${PADDING}echo ${last}\n`
      await write(host, text('good'))
      await fixture.sh('rm -f go')
      const { proc } = await fixture.spawn(['slow'], { path })
      await fixture.printed(proc, 'ready')
      await overwrite(host, text('EVIL'))
      await fixture.sh('touch go')
      const record = await fixture.ended(proc)
      assert.equal(record.exe.sha256, sha256Text(Buffer.from(text('good'))))
      assert.equal(await fixture.output(proc, 'stdout'), 'ready\ngood\n')
    })

    it(`${what} is overwritten at some moment of its start: what ran is what was hashed`, async () => {
      const { host, path } = place('quick')
      const ends = { ran: 0, refused: 0 }
      for (let round = 0; round < 60; round += 1) {
        await write(host, GOOD)
        const proc = randomProc()
        const start = prepareAndStart(path, proc)
        await sleep(systemClock, round / 4)
        await overwrite(host, EVIL)
        const sha256 = await start
        if (sha256 === undefined) {
          ends.refused += 1
          continue
        }
        const record = await fixture.ended(proc)
        const output = await fixture.output(proc, 'stdout')
        assert.equal(record.exe.sha256, sha256)
        assert.equal(sha256, sha256Text(Buffer.from(output === 'good\n' ? GOOD : EVIL)), output)
        ends.ran += 1
      }
      assert.ok(ends.ran > 0, JSON.stringify(ends))
    })

    it(`${what} cannot be written to by way of what runs`, async () => {
      const { host, path } = place('self')
      await write(host, `#!/bin/sh\nchmod 777 "$0"; echo EVIL > "$0"; cat "$0" | tail -n 1\n# good\n`)
      assert.equal((await fixture.run(['self'], { path })).stdout, '# good\n')
    })
  }

  it('leaves no copy behind, run or not', async () => {
    const { host, path } = { host: join(fixture.workspaceRoot, 'w/gone'), path: '/workspace/gone' }
    await write(host, GOOD)
    assert.equal((await fixture.run(['gone'], { path })).stdout, 'good\n')
    const { handle } = await fixture.keeper.prepare(request(path))
    await fixture.keeper.release(handle)
    const folders = (await readdir(fixture.workspaceRoot)).filter((name) => name.startsWith('.'))
    for (const folder of folders) assert.deepEqual(await readdir(join(fixture.workspaceRoot, folder)), [])
  })

  const request = (path: string): Parameters<typeof fixture.keeper.prepare>[0] => ({
    path,
    searchPath: [],
    runAs: RUN_AS,
    workspace: { root: fixture.workspaceRoot, name: 'w' },
  })

  /** The digest of what was prepared and started; undefined for a refusal. */
  async function prepareAndStart(
    path: string,
    proc: ReturnType<typeof randomProc>,
  ): Promise<string | undefined> {
    try {
      const { handle, sha256 } = await fixture.keeper.prepare(request(path))
      const spec = { argv: ['quick'], env: {}, caps: DEFAULT_CAPABILITIES, masks: [] }
      await fixture.keeper.start({ handle, proc, spec })
      return sha256
    } catch (error) {
      if (isZtError(error)) return undefined
      throw error
    }
  }
})
