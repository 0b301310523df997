// The way over a rotation: bundle by bundle, from what is held or pinned, and never past one that does not prove itself.
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { rootFingerprint, type BundleTrust } from '#shared/x509/bundle.ts'
import { bundleSigner, followBundles } from '#shared/x509/bundle-history.ts'
import { makeRotation, type Rotation } from '#test/support/rotation.ts'

const NOW = Date.UTC(2026, 10, 22, 12)
const CODE = { code: 'ZT-401-BUNDLE' }

let rotation: Rotation
before(async () => {
  rotation = await makeRotation(NOW)
})
const follow = (texts: readonly string[], from: BundleTrust): number[] =>
  followBundles(texts, from, NOW).map(({ bundle }) => bundle.sequence)

describe('the history of trust bundles', () => {
  it('leads from the bundle that is held over the rotation', () => {
    const [, both, last] = rotation.texts
    assert.deepEqual(follow([both, last], { trusted: rotation.bundles[0] }), [2, 3])
  })

  it('leads from a pinned root, from the first bundle that it signed', () => {
    assert.deepEqual(follow(rotation.texts, { pinnedRoot: rotation.old }), [1, 2, 3])
    assert.deepEqual(follow(rotation.texts, { pinnedRoot: rotation.next }), [3])
  })

  it('says who signed each, and ends with the new root alone', () => {
    const followed = followBundles(rotation.texts, { pinnedRoot: rotation.old }, NOW)
    assert.deepEqual(
      followed.map(({ signer }) => signer),
      [rotation.old, rotation.old, rotation.next],
    )
    assert.deepEqual(followed.at(-1)?.bundle.roots.map(rootFingerprint), [rotation.next])
    assert.equal(bundleSigner(rotation.texts[2]), rotation.next)
  })

  it('proves nothing from a root that signed none of it', () => {
    assert.deepEqual(follow(rotation.texts, { pinnedRoot: 'f'.repeat(64) }), [])
  })

  it('breaks where a bundle is left out', () => {
    const [first, , last] = rotation.texts
    assert.throws(() => follow([last], { trusted: rotation.bundles[0] }), CODE)
    assert.throws(() => follow([first, last], { pinnedRoot: rotation.old }), CODE)
  })

  it('breaks where bundles come in another order, or twice', () => {
    const [first, both, last] = rotation.texts
    assert.throws(() => follow([last, both], { trusted: rotation.bundles[1] }), CODE)
    assert.throws(() => follow([both, both], { trusted: rotation.bundles[0] }), CODE)
    assert.throws(() => follow([first], { trusted: rotation.bundles[1] }), CODE)
  })

  it('reads no signer from what is not a bundle', () => {
    for (const text of ['', 'a.b.c', rotation.texts[0].slice(0, -1), 'x'.repeat(70_000)])
      assert.throws(() => bundleSigner(text), CODE)
  })
})
