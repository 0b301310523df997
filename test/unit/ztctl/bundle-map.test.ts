// `federation bundle --map`: every bundle that the hub holds, from all of its pages, as other SPIFFE programs read several.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { bundleMapOf } from '#ops/ztctl/verbs/federation-bundle.ts'
import { parseTrustDomain, type TrustDomain } from '#shared/identity/names.ts'
import type { BundlesResult } from '#shared/protocol/federation.ts'
import { parseBundleMap } from '#shared/spiffe/bundle-map.ts'
import { bundleText, foreignCa, x509Jwk } from '#test/support/foreign-pki.ts'
import { say } from '#test/support/ztctl-io.ts'

const names = ['a.example', 'b.example', 'c.example'].map((name) => parseTrustDomain(name))
const page = (name: TrustDomain, more: boolean): BundlesResult => ({
  bundles: [{ td: name, document: bundleText([x509Jwk(foreignCa(name, { at: Date.now() }))]) }],
  more,
})

describe('a map of all bundles', () => {
  it('has every page of the hub, each bundle under its name', async () => {
    const asked: (TrustDomain | undefined)[] = []
    const text = await bundleMapOf(async (after) => {
      asked.push(after)
      const next = names[asked.length - 1]
      assert.ok(next !== undefined)
      return page(next, asked.length < names.length)
    })
    assert.deepEqual(asked, [undefined, 'a.example', 'b.example'])
    const map = parseBundleMap(text)
    assert.deepEqual([...map.keys()], names)
    assert.ok([...map.values()].every((one) => one.x509Authorities.length === 1))
  })

  it('is of all: no trust domain is named with it', async () => {
    const { status, stderr } = await say(['federation', 'bundle', '--map', 'a.example'])
    assert.equal(status, 2)
    assert.match(stderr, /--map/)
  })
})
