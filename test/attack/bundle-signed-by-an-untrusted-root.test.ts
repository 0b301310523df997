// A bundle that no trusted root signed brings no root, wherever it is offered: at the hub's import, in its bundleFile, to
// a node that slept, to a machine that joins. A hub that was taken over can hand out what it likes; it adds no root.
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, describe, it, type TestContext } from 'node:test'
import { Trust } from '#hub/identity/trust.ts'
import { newerBundle, pinnedBundle, withCatchUp } from '#shared/host/catch-up.ts'
import { svidSigner } from '#shared/identity/identity.ts'
import { ZtError } from '#shared/errors/error.ts'
import { signJws } from '#shared/jose/jws.ts'
import { bundlePayload, rootFingerprint } from '#shared/x509/bundle.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { RowLog } from '#test/fakes/row-log.ts'
import { makeRotation, serveBundles, type BundleServer, type Rotation } from '#test/support/rotation.ts'
import { tempDir } from '#test/support/temp-dir.ts'
import { makeRoot, type TestAuthority } from '#test/support/test-pki.ts'

const CODE = { code: 'ZT-401-BUNDLE' }

describe('a bundle that no trusted root signed', () => {
  let rotation: Rotation
  let evil: TestAuthority
  /** names the true roots and one of the attacker's, who signs it with what it has */
  const forged: Record<string, () => Promise<string>> = {
    'signed by the root that it adds': () => {
      const roots = [rotation.oldRoot.certificate, evil.certificate]
      return rotation.sign({ sequence: 2, roots }, evil)
    },
    'signed by the new root before the old one has vouched for it': () =>
      rotation.sign({ sequence: 2, roots: [rotation.newRoot.certificate] }, rotation.newRoot),
    'signed by another key under the name of the old root': () => {
      const roots = [rotation.oldRoot.certificate, evil.certificate]
      return rotation.sign({ sequence: 2, roots }, { ...rotation.oldRoot, key: evil.key })
    },
  }
  before(async () => {
    rotation = await makeRotation(Date.now())
    evil = makeRoot(rotation.pki.trustDomain, Date.now())
  })

  async function hub(t: TestContext): Promise<{ trust: Trust; rows: RowLog; file: string }> {
    const dir = await tempDir(t)
    const file = join(dir, 'bundle.jws')
    mkdirSync(join(dir, 'hub'), { mode: 0o700 })
    writeFileSync(file, rotation.texts[0])
    const clock = new ManualClock(Date.now())
    const trust = await Trust.open({ stateDir: join(dir, 'hub'), file, root: rotation.old, clock })
    const rows = new RowLog()
    await trust.refresh(rows)
    return { trust, rows, file }
  }
  const roots = (validator: SvidValidator): string[] => validator.bundle.roots.map(rootFingerprint)
  const evilHub = async (t: TestContext, bundles: readonly unknown[]): Promise<BundleServer> => {
    const server = await serveBundles(rotation.pki, {
      inForce: () => String(bundles[0]),
      after: () => ({ bundles, more: false }),
    })
    t.after(() => server.close())
    return server
  }

  for (const [what, make] of Object.entries(forged)) {
    it(`${what} is not imported by the hub`, async (t) => {
      const { trust, rows, file } = await hub(t)
      const text = await make()
      await assert.rejects(trust.import(text, rows), CODE)
      writeFileSync(file, text)
      await assert.rejects(trust.refresh(rows), CODE)
      assert.deepEqual(roots(trust.validator), [rotation.old])
      assert.equal(trust.history.length, 1)
      assert.equal(rows.rows.length, 1, 'no row says that it was imported')
    })

    it(`${what} leads no node that slept to another root`, async (t) => {
      const server = await evilHub(t, [await make()])
      await assert.rejects(newerBundle(server, rotation.bundles[0]), CODE)
      const trust = new SvidValidator(rotation.bundles[0])
      const kept: unknown[] = []
      const way = { ...server, trust, keep: (newer: unknown) => void kept.push(newer) }
      const refused = new ZtError('ZT-503-HUB', 'the hub does not answer')
      await assert.rejects(
        withCatchUp(way, () => Promise.reject(refused)),
        { code: 'ZT-503-HUB' },
      )
      assert.deepEqual([roots(trust), kept], [[rotation.old], []])
    })

    it(`${what} leads nobody who pins the old root to another one`, async (t) => {
      await assert.rejects(pinnedBundle(await evilHub(t, [await make()]), rotation.old), CODE)
    })
  }

  it('cannot be made by the hub, whose key is not a root', async (t) => {
    const { trust, rows } = await hub(t)
    const payload = bundlePayload({ ...rotation.bundles[1], roots: [evil.certificate] })
    const signer = svidSigner(rotation.pki.identity('/hub/h1', Date.now()))
    // The library refuses to sign a bundle with an SVID at all; the text is put together as a thief of the key would.
    assert.throws(() => signJws({ typ: 'zt-bundle+jws', payload, signer }), { code: 'ZT-400-MALFORMED' })
    const text = signJws({ typ: 'zt-deny+jws', payload, signer })
    const header = { alg: 'ES256', typ: 'zt-bundle+jws' }
    const [head = '', body = '', signature = ''] = text.split('.')
    const claims = { ...(JSON.parse(Buffer.from(head, 'base64url').toString()) as object), ...header }
    const bent = [Buffer.from(JSON.stringify(claims)).toString('base64url'), body, signature].join('.')
    await assert.rejects(trust.import(bent, rows), CODE)
    await assert.rejects(newerBundle(await evilHub(t, [bent]), rotation.bundles[0]), CODE)
  })

  const garbage: Record<string, readonly unknown[]> = {
    'text that is no bundle': ['a.b.c'],
    'no text at all': [7],
    'more bundles than fit': Array.from({ length: 13 }, () => 'a.b.c'),
  }
  for (const [what, bundles] of Object.entries(garbage))
    it(`gains a hub nothing that serves ${what}`, async (t) => {
      const server = await evilHub(t, bundles)
      await assert.rejects(newerBundle(server, rotation.bundles[0]), ZtError)
    })

  it('gains a hub nothing that serves a history without an end', async (t) => {
    const [, both] = rotation.texts
    const answers = { inForce: () => both, after: () => ({ bundles: [both], more: true }) }
    const server = await serveBundles(rotation.pki, answers)
    t.after(() => server.close())
    await assert.rejects(newerBundle(server, rotation.bundles[0]), CODE)
    assert.ok(server.asked.length <= 32)
  })
})
