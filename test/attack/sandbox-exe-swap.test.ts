// Attack: have another program run than the one that was hashed, by changing what its name means in between.
import assert from 'node:assert/strict'
import { chmod, copyFile, mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, beforeEach, describe, it } from 'node:test'
import type { Prepared } from '#node-agent/keeper/protocol.ts'
import { isZtError } from '#shared/errors/error.ts'
import { sleep, systemClock } from '#shared/host/clock.ts'
import { DEFAULT_CAPABILITIES } from '#shared/protocol/sandbox-capability.ts'
import { KeeperFixture, needsSandbox, randomProc, RUN_AS, VISIBLE_PARENT } from '#test/support/keeper.ts'

const GOOD = '#!/bin/sh\necho good\n'
const EVIL = '#!/bin/sh\necho EVIL\n'

describe('between hash and execution', { skip: needsSandbox }, () => {
  let fixture: KeeperFixture
  let dir = ''
  let tool = ''

  async function script(name: string, text: string): Promise<string> {
    const path = join(dir, name)
    await writeFile(path, text)
    await chmod(path, 0o755)
    return path
  }

  const prepare = (path: string): Promise<Prepared> =>
    fixture.keeper.prepare({
      path,
      searchPath: [],
      runAs: RUN_AS,
      workspace: { root: fixture.workspaceRoot, name: 'w' },
    })

  /** What the program printed, or the code of the refusal. */
  async function outcome({ handle }: Prepared): Promise<string> {
    const proc = randomProc()
    const spec = { argv: ['tool'], env: {}, caps: DEFAULT_CAPABILITIES, masks: [] }
    try {
      await fixture.keeper.start({ handle, proc, spec })
    } catch (error) {
      return (error as { code: string }).code
    }
    await fixture.ended(proc)
    return fixture.output(proc, 'stdout')
  }

  before(async () => {
    fixture = await KeeperFixture.create({ parent: VISIBLE_PARENT })
    dir = join(fixture.dir, 'bin')
    await mkdir(dir)
    await chmod(dir, 0o755)
  })
  after(() => fixture.end())
  beforeEach(async () => {
    tool = await script('tool', GOOD)
  })

  it('nothing changes: the program runs', async () => {
    assert.equal(await outcome(await prepare(tool)), 'good\n')
  })

  const swaps: Record<string, () => Promise<void>> = {
    'another file is renamed over it': async () => rename(await script('evil', EVIL), tool),
    'it is moved away and another put in its place': async () => {
      await rename(tool, `${tool}.old`)
      await script('tool', EVIL)
    },
    'it is removed and made anew': async () => {
      await rm(tool)
      await script('tool', EVIL)
    },
    'its content is overwritten in place': async () => {
      await script('tool', EVIL)
    },
    'it becomes a link': async () => {
      await rm(tool)
      await symlink(await script('evil', EVIL), tool)
    },
    'its folder is exchanged': async () => {
      await rename(dir, `${dir}.old`)
      await mkdir(dir)
      await chmod(dir, 0o755)
      await script('tool', EVIL)
    },
  }
  for (const [what, swap] of Object.entries(swaps)) {
    it(`${what}: it is refused`, async () => {
      const prepared = await prepare(tool)
      await swap()
      assert.equal(await outcome(prepared), 'ZT-412-FACT')
    })
  }

  it('the interpreter of a script is exchanged: it is refused', async () => {
    const interpreter = join(dir, 'interpreter')
    await copyFile('/bin/sh', interpreter)
    await chmod(interpreter, 0o755)
    const path = await script('interpreted', `#!${interpreter}\necho good\n`)
    const prepared = await prepare(path)
    assert.equal(prepared.interpreter?.realpath, interpreter)
    await copyFile('/usr/bin/env', `${interpreter}.new`)
    await chmod(`${interpreter}.new`, 0o755)
    await rename(`${interpreter}.new`, interpreter)
    assert.equal(await outcome(prepared), 'ZT-412-FACT')
  })

  it('its link on the search path is turned to another: the one that was hashed runs', async () => {
    const link = join(dir, 'link')
    await rm(link, { force: true })
    await symlink(tool, link)
    const prepared = await prepare(link)
    await rm(link)
    await symlink(await script('evil', EVIL), link)
    assert.equal(await outcome(prepared), 'good\n')
  })

  // Whoever may rename in the folder of a program can win this race for a moment: rename(2) takes away what is mounted
  // on the name that it replaces. What it cannot do is to have the other taken for the one that was hashed.
  const kinds: Record<string, { good: () => Promise<Buffer>; evil: () => Promise<Buffer> }> = {
    script: {
      good: async () => Buffer.from('#!/bin/sh\nexit 0\n'),
      evil: async () => Buffer.from('#!/bin/sh\nexit 1\n'),
    },
    binary: { good: () => readFile('/usr/bin/true'), evil: () => readFile('/usr/bin/false') },
  }
  for (const [kind, files] of Object.entries(kinds)) {
    it(`a ${kind} is exchanged at some moment of its start: what ran is what was hashed, or it is said`, async () => {
      const [good, evil] = [await files.good(), await files.evil()]
      const put = async (bytes: Buffer): Promise<void> => {
        await writeFile(`${tool}.next`, bytes)
        await chmod(`${tool}.next`, 0o755)
        await rename(`${tool}.next`, tool)
      }
      const ends = { ran: 0, refused: 0, said: 0 }
      for (let round = 0; round < 100; round += 1) {
        await put(good)
        const { handle } = await prepare(tool)
        const proc = randomProc()
        const spec = { argv: ['tool'], env: {}, caps: DEFAULT_CAPABILITIES, masks: [] }
        const start = fixture.keeper.start({ handle, proc, spec }).catch(refused)
        await sleep(systemClock, round / 10)
        await put(evil)
        await start
        const known = await fixture.keeper.inspect(proc).catch(refused)
        const ended = known === undefined ? undefined : await fixture.ended(proc)
        if (ended?.exit === undefined) ends.refused += 1
        else if (ended.replaced === true) ends.said += 1
        else {
          assert.equal(ended.exit.code, 0, JSON.stringify(ended))
          ends.ran += 1
        }
      }
      assert.ok(ends.ran > 0 && ends.refused > 0, JSON.stringify(ends))
    })
  }
})

/** undefined for a refusal of the keeper, which is as good an end as any here. */
function refused(error: unknown): undefined {
  if (isZtError(error)) return undefined
  throw error
}
