// Attack: have another program run than the one that was hashed, by changing what its name means in between.
import assert from 'node:assert/strict'
import { chmod, copyFile, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, beforeEach, describe, it } from 'node:test'
import type { Prepared } from '#node-agent/keeper/protocol.ts'
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

  it('it is exchanged without pause while it starts: the other is never taken for it', async () => {
    let stop = false
    const attacker = (async () => {
      while (!stop) {
        await rename(await script('evil', EVIL), tool)
        await rename(await script('fresh', GOOD), tool)
      }
    })()
    const seen = new Map<string, number>()
    for (let round = 0; round < 60; round += 1) {
      const prepared = await prepare(tool).catch((error: { code: string }) => error.code)
      const result = typeof prepared === 'string' ? prepared : await outcome(prepared)
      // Whichever was hashed is the one that may print.
      const digests: Record<string, string | undefined> = { 'good\n': GOOD, 'EVIL\n': EVIL }
      const printed = digests[result]
      if (printed !== undefined && typeof prepared === 'object') {
        const { createHash } = await import('node:crypto')
        assert.equal(prepared.sha256, createHash('sha256').update(printed).digest('base64url'))
      }
      seen.set(result, (seen.get(result) ?? 0) + 1)
    }
    stop = true
    await attacker
    for (const result of seen.keys()) assert.match(result, /^(?:good\n|EVIL\n|ZT-.*)$/)
  })
})
