// The history of bundles is evidence only as a whole: a hub whose folder lost a file, or has one that was forged between
// true ones, does not start; and a node follows no way that has a gap or a forged step.
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, describe, it, type TestContext } from 'node:test'
import { Trust } from '#hub/identity/trust.ts'
import { newerBundle } from '#shared/host/catch-up.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { RowLog } from '#test/fakes/row-log.ts'
import { makeRotation, serveBundles, type Rotation } from '#test/support/rotation.ts'
import { tempDir } from '#test/support/temp-dir.ts'
import { makeRoot, type TestAuthority } from '#test/support/test-pki.ts'

const CODE = { code: 'ZT-401-BUNDLE' }

describe('the history of a hub', () => {
  let rotation: Rotation
  let evil: TestAuthority
  /** true at both ends; the middle is the attacker's, and would let its own root in */
  let forgedMiddle: string
  before(async () => {
    rotation = await makeRotation(Date.now())
    evil = makeRoot(rotation.pki.trustDomain, Date.now())
    const roots = [rotation.oldRoot, rotation.newRoot, evil].map(({ certificate }) => certificate)
    forgedMiddle = await rotation.sign({ sequence: 2, roots }, evil)
  })

  interface Kept {
    readonly path: (at: number) => string
    readonly open: () => Promise<Trust>
  }
  async function kept(t: TestContext): Promise<Kept> {
    const dir = await tempDir(t)
    const file = join(dir, 'bundle.jws')
    mkdirSync(join(dir, 'hub'), { mode: 0o700 })
    writeFileSync(file, rotation.texts[0])
    const options = {
      stateDir: join(dir, 'hub'),
      file,
      root: rotation.old,
      clock: new ManualClock(Date.now()),
    }
    const trust = await Trust.open(options)
    const rows = new RowLog()
    await trust.refresh(rows)
    for (const text of rotation.texts.slice(1)) await trust.import(text, rows)
    return {
      path: (at) => join(dir, 'hub', 'bundles', `bundle-${String(at).padStart(6, '0')}.json`),
      open: () => Trust.open(options),
    }
  }
  const swap = (path: string, text: string): void => {
    const held = JSON.parse(readFileSync(path, 'utf8')) as object
    writeFileSync(path, JSON.stringify({ ...held, text }))
  }

  it('starts as it was left', async (t) => {
    assert.equal((await (await kept(t)).open()).text, rotation.texts[2])
  })

  it('does not start with a file missing in the middle', async (t) => {
    const { path, open } = await kept(t)
    rmSync(path(1))
    await assert.rejects(open(), CODE)
  })

  it('does not start with a file missing, even where those around it would follow one another', async (t) => {
    const { path, open } = await kept(t)
    const trust = await open()
    const roots = [rotation.newRoot.certificate]
    await trust.import(await rotation.sign({ sequence: 4, roots }, rotation.newRoot), new RowLog())
    rmSync(path(2))
    await assert.rejects(open(), CODE)
  })

  it('does not start when the gap was closed by renaming', async (t) => {
    const { path, open } = await kept(t)
    renameSync(path(2), path(1))
    await assert.rejects(open(), CODE)
  })

  it('does not start with a forged middle', async (t) => {
    const { path, open } = await kept(t)
    swap(path(1), forgedMiddle)
    await assert.rejects(open(), CODE)
  })

  it('does not start with a middle of which a byte was changed, or that is cut', async (t) => {
    const { path, open } = await kept(t)
    const [, both] = rotation.texts
    const at = both.length - 20
    swap(path(1), `${both.slice(0, at)}${both[at] === 'A' ? 'B' : 'A'}${both.slice(at + 1)}`)
    await assert.rejects(open(), CODE)
    writeFileSync(path(1), readFileSync(path(1)).subarray(0, 200))
    await assert.rejects(open(), CODE)
  })

  it('does not start with its bundles in another order', async (t) => {
    const { path, open } = await kept(t)
    swap(path(1), rotation.texts[2])
    swap(path(2), rotation.texts[1])
    await assert.rejects(open(), CODE)
  })

  const ways: Record<string, () => readonly string[]> = {
    'a gap': () => [rotation.texts[2]],
    'a forged middle': () => [forgedMiddle, rotation.texts[2]],
    'a forged end': () => [rotation.texts[1], forgedMiddle],
  }
  for (const [what, bundles] of Object.entries(ways))
    it(`leads no node anywhere with ${what}`, async (t) => {
      const answers = { inForce: () => '', after: () => ({ bundles: bundles(), more: false }) }
      const server = await serveBundles(rotation.pki, answers)
      t.after(() => server.close())
      await assert.rejects(newerBundle(server, rotation.bundles[0]), CODE)
    })

  it('leads a node that slept through the rotation to the bundle in force', async (t) => {
    const answers = {
      inForce: () => rotation.texts[2],
      after: (from: number) => ({ bundles: rotation.texts.slice(from), more: false }),
    }
    const server = await serveBundles(rotation.pki, answers)
    t.after(() => server.close())
    assert.equal((await newerBundle(server, rotation.bundles[0]))?.bundle.sequence, 3)
    assert.equal(await newerBundle(server, rotation.bundles[2]), undefined)
    assert.deepEqual(server.asked, [1, 3])
  })
})
