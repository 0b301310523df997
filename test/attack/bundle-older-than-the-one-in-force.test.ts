// A root that was retired and an intermediate that was revoked stay so: nobody brings an older bundle back, at the hub or
// at a node, by import, by file, by answer, or by starting again.
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, describe, it, type TestContext } from 'node:test'
import { Trust } from '#hub/identity/trust.ts'
import { readBundleFile, writeBundleFile } from '#node-agent/state/bundle-file.ts'
import { newerBundle } from '#shared/host/catch-up.ts'
import { openBundle, rootFingerprint } from '#shared/x509/bundle.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { RowLog } from '#test/fakes/row-log.ts'
import { makeRotation, serveBundles, type Rotation } from '#test/support/rotation.ts'
import { tempDir } from '#test/support/temp-dir.ts'

const CODE = { code: 'ZT-401-BUNDLE' }

describe('an older bundle', () => {
  let rotation: Rotation
  before(async () => {
    rotation = await makeRotation(Date.now())
  })

  async function rotatedHub(t: TestContext): Promise<{ open: () => Promise<Trust>; file: string }> {
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
    return { open: () => Trust.open(options), file }
  }
  const inForce = (trust: Trust): string[] => trust.validator.bundle.roots.map(rootFingerprint)

  it('is not imported by the hub, not even one that was in force', async (t) => {
    const { open } = await rotatedHub(t)
    const trust = await open()
    const rows = new RowLog()
    const revokedBefore = await rotation.sign(
      { sequence: 2, roots: [rotation.newRoot.certificate] },
      rotation.newRoot,
    )
    for (const text of [...rotation.texts, revokedBefore])
      await assert.rejects(trust.import(text, rows), CODE)
    assert.deepEqual([inForce(trust), rows.rows.length], [[rotation.next], 0])
  })

  it('does not come back by bundleFile, nor by starting again', async (t) => {
    const { open, file } = await rotatedHub(t)
    writeFileSync(file, rotation.texts[1])
    const trust = await open()
    assert.equal(await trust.refresh(new RowLog()), false)
    assert.deepEqual(inForce(trust), [rotation.next])
    const other = await rotation.sign({ sequence: 2, refreshHint: 7 }, rotation.newRoot)
    writeFileSync(file, other)
    await assert.rejects(trust.refresh(new RowLog()), CODE)
    assert.deepEqual(inForce(trust), [rotation.next])
  })

  it('of the same sequence number and another content is refused as well', async (t) => {
    const { open } = await rotatedHub(t)
    const twin = await rotation.sign(
      { sequence: 3, roots: [rotation.newRoot.certificate, rotation.oldRoot.certificate] },
      rotation.newRoot,
    )
    await assert.rejects((await open()).import(twin, new RowLog()), CODE)
  })

  it('is not taken by a node from an answer of the hub, nor from its history', async (t) => {
    const trusted = rotation.bundles[2]
    for (const text of rotation.texts.slice(0, 2))
      assert.throws(() => openBundle(text, { trusted }, Date.now()), CODE)
    const validator = new SvidValidator(trusted)
    for (const older of rotation.bundles.slice(0, 2))
      assert.throws(() => validator.replaceBundle(older), CODE)
    const server = await serveBundles(rotation.pki, {
      inForce: () => rotation.texts[0],
      after: () => ({ bundles: rotation.texts.slice(0, 2), more: false }),
    })
    t.after(() => server.close())
    await assert.rejects(newerBundle(server, trusted), CODE)
  })

  it('is not what a node starts with', async (t) => {
    const path = join(await tempDir(t), 'bundle.jws')
    writeBundleFile(path, rotation.texts[2])
    assert.equal(readBundleFile(path, Date.now()).sequence, 3)
  })
})
