// The hub's trust over its life: what it keeps, what it takes up, and how it starts again after a rotation.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, before, beforeEach, describe, it } from 'node:test'
import { Trust } from '#hub/identity/trust.ts'
import { rootFingerprint } from '#shared/x509/bundle.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { RowLog } from '#test/fakes/row-log.ts'
import { makeRotation, type Rotation } from '#test/support/rotation.ts'

const NOW = Date.UTC(2026, 10, 22, 12)
const HOUR = 3_600_000

describe('the trust of the hub', () => {
  let rotation: Rotation
  let dir: string
  let clock: ManualClock
  let rows: RowLog
  before(async () => {
    rotation = await makeRotation(NOW)
  })
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'zt-trust-'))
    mkdirSync(join(dir, 'hub'), { mode: 0o700 })
    clock = new ManualClock(NOW)
    rows = new RowLog()
    writeFileSync(join(dir, 'bundle.jws'), `${rotation.texts[0]}\n`)
  })
  afterEach(() => rmSync(dir, { recursive: true, force: true }))

  const open = (root: string = rotation.old): Promise<Trust> =>
    Trust.open({ stateDir: join(dir, 'hub'), file: join(dir, 'bundle.jws'), root, clock })
  const opened = async (): Promise<Trust> => {
    const trust = await open()
    await trust.refresh(rows)
    return trust
  }
  const files = (): string[] => readdirSync(join(dir, 'hub', 'bundles')).toSorted()
  const roots = (trust: Trust): string[] => trust.validator.bundle.roots.map(rootFingerprint)

  it('begins with bundleFile and the pin, and keeps what it began with', async () => {
    const trust = await open()
    assert.equal(trust.text, rotation.texts[0])
    assert.equal(await trust.refresh(rows), false)
    assert.deepEqual(files(), ['bundle-000000.json'])
    assert.deepEqual(rows.types, ['bundle.imported'])
  })

  it('puts a newer bundle in force at once, after its row', async () => {
    const trust = await opened()
    rows.full = true
    await assert.rejects(trust.import(rotation.texts[1], rows), { code: 'ZT-503-AUDIT' })
    assert.deepEqual([roots(trust), files().length], [[rotation.old], 1])
    rows.full = false
    rows.during = () => assert.deepEqual(roots(trust), [rotation.old], 'the row comes first')
    await trust.import(rotation.texts[1], rows)
    assert.deepEqual(roots(trust), [rotation.old, rotation.next])
    assert.deepEqual(rows.rows.at(-1)?.obj?.['roots'], [rotation.old, rotation.next])
  })

  it('starts again after the whole rotation, from the pin of the old root', async () => {
    const trust = await opened()
    for (const text of rotation.texts.slice(1)) await trust.import(text, rows)
    rmSync(join(dir, 'bundle.jws'))
    const again = await open()
    assert.deepEqual(roots(again), [rotation.next])
    assert.equal(again.signer, rotation.next)
    assert.equal(await again.refresh(rows), false)
  })

  it('starts from the new root too, and then hands on only what that one proves', async () => {
    const trust = await opened()
    for (const text of rotation.texts.slice(1)) await trust.import(text, rows)
    const again = await open(rotation.next)
    assert.deepEqual(again.after(0).bundles, [rotation.texts[2]])
    assert.equal(await again.refresh(rows), false, 'bundleFile has an old one, which is known')
  })

  it('hands on what follows a sequence number, a few at a time', async () => {
    const trust = await opened()
    for (const text of rotation.texts.slice(1)) await trust.import(text, rows)
    assert.deepEqual(trust.after(0), { bundles: rotation.texts, more: false })
    assert.deepEqual(trust.after(2), { bundles: [rotation.texts[2]], more: false })
    assert.deepEqual(trust.after(3), { bundles: [], more: false })
    for (let sequence = 4; sequence <= 14; sequence += 1)
      await trust.import(
        await rotation.sign({ sequence, roots: [rotation.newRoot.certificate] }, rotation.newRoot),
        rows,
      )
    const { bundles, more } = trust.after(0)
    assert.deepEqual([bundles.length, more], [12, true])
  })

  it('knows since when it trusts a root without a break', async () => {
    const trust = await opened()
    clock.advance(HOUR)
    await trust.import(rotation.texts[1], rows)
    clock.advance(HOUR)
    assert.equal(trust.trustedSince(rotation.old), NOW)
    assert.equal(trust.trustedSince(rotation.next), NOW + HOUR)
    await trust.import(rotation.texts[2], rows)
    assert.equal(trust.trustedSince(rotation.old), undefined)
    assert.equal(trust.trustedSince(rotation.next), NOW + HOUR)
  })

  it('knows when everybody can have a root: who renews, and who asks as often as its bundle says', async () => {
    const [MINUTE, TTL] = [60_000, 5 * 60_000]
    const trust = await opened()
    assert.equal(trust.publishedAt(rotation.next, TTL), undefined)
    assert.equal(trust.publishedAt(rotation.old, TTL), NOW + TTL, 'nobody held a bundle before it')
    const rarely = await rotation.sign({ sequence: 2, refreshHint: 3600 }, rotation.oldRoot)
    await trust.import(rarely, rows)
    clock.advance(MINUTE)
    const often = await rotation.sign({ sequence: 3, refreshHint: 10 }, rotation.oldRoot)
    await trust.import(often, rows)
    clock.advance(MINUTE)
    const roots = [rotation.oldRoot.certificate, rotation.newRoot.certificate]
    await trust.import(await rotation.sign({ sequence: 4, roots }, rotation.oldRoot), rows)
    assert.equal(trust.publishedAt(rotation.next, TTL), NOW + MINUTE + HOUR, 'since the second was replaced')
    assert.equal(trust.publishedAt(rotation.next, 2 * HOUR), NOW + 2 * MINUTE + 2 * HOUR)
  })

  it('takes a newer bundle up from bundleFile', async () => {
    const trust = await opened()
    writeFileSync(join(dir, 'bundle.jws'), rotation.texts[1])
    assert.equal(await trust.refresh(rows), true)
    assert.equal(await trust.refresh(rows), false)
    assert.deepEqual(files(), ['bundle-000000.json', 'bundle-000001.json'])
    assert.equal((await open()).text, rotation.texts[1])
  })

  it('takes up what a failed import left in its folder, as of that time', async () => {
    const trust = await opened()
    const elsewhere = await open()
    clock.advance(HOUR)
    // As an import whose folder could not be synced: the file is there, and nothing knows of it.
    await elsewhere.import(rotation.texts[1], rows)
    clock.advance(HOUR)
    await trust.import(rotation.texts[1], rows)
    assert.equal(trust.trustedSince(rotation.next), NOW + HOUR)
    await trust.import(rotation.texts[2], rows)
    assert.deepEqual(files().length, 3)
    assert.deepEqual(roots(await open()), [rotation.next])
  })

  it('takes nothing over another bundle that is kept', async () => {
    const trust = await opened()
    await (await open()).import(rotation.texts[1], rows)
    const other = await rotation.sign({ sequence: 2, refreshHint: 77 }, rotation.oldRoot)
    await assert.rejects(trust.import(other, rows), { code: 'ZT-409-EXISTS' })
    assert.deepEqual([roots(trust), files().length], [[rotation.old], 2])
  })

  it('takes one of two imports at a time, and the same bundle once', async () => {
    const trust = await opened()
    const both = await Promise.allSettled([1, 2].map(() => trust.import(rotation.texts[1], rows)))
    assert.deepEqual(both.map(({ status }) => status).toSorted(), ['fulfilled', 'rejected'])
    assert.equal(files().length, 2)
  })

  it('is refused without a first bundle, and from a root that signed nothing of it', async () => {
    await assert.rejects(open(rotation.next), { code: 'ZT-401-BUNDLE' })
    await opened()
    await assert.rejects(open(rotation.next), { code: 'ZT-401-BUNDLE' })
    rmSync(join(dir, 'hub', 'bundles'), { recursive: true })
    rmSync(join(dir, 'bundle.jws'))
    await assert.rejects(open(), { code: 'ZT-400-CONFIG' })
  })
})
