// What the hub hands out of bundles: all of them, in pages that one message can carry.
import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { parseTrustDomain, type TrustDomain } from '#shared/identity/names.ts'
import { MAX_BUNDLES_BYTES, parseBundlesResult, type NamedBundle } from '#shared/protocol/federation.ts'
import { encodeBundle, parseBundleDocument } from '#shared/spiffe/bundle-document.ts'
import { certificatesToPem } from '#shared/x509/pem.ts'
import { MemoryFederationStore } from '#test/fakes/memory-federation-store.ts'
import { bundleText, foreignCa, x509Jwk } from '#test/support/foreign-pki.ts'
import { startBundleServer } from '#test/support/bundle-server.ts'
import {
  ca,
  documentOf,
  fetched,
  fileWith,
  nextCa,
  NOW,
  spiffeRelation,
  spiffeServer,
  webCa,
} from '#test/support/foreign-relation.ts'
import { openTestFederation, type TestFederation } from '#test/support/relations.ts'

const entries = Array.from({ length: 60 }, (_, index) =>
  x509Jwk(foreignCa('big.example', { at: NOW, name: `a${index}`.padEnd(300, 'x') })),
)
const names = ['b.example', 'c.example', 'd.example', 'e.example', 'f.example', 'g.example']

/** A hub that holds a bundle of some 75 KiB of each name. */
async function holding(t: TestContext): Promise<TestFederation> {
  const store = new MemoryFederationStore()
  const caFile = await fileWith(t, certificatesToPem([webCa.der]))
  for (const name of names) {
    const document = encodeBundle(parseBundleDocument(bundleText(entries), parseTrustDomain(name)))
    await store.put({ trustDomain: name, document, fetchedAt: NOW })
  }
  const relations = names.map((trustDomain) => ({
    trustDomain,
    endpointUrl: 'https://a.example/b',
    profile: 'https_web',
    caFile,
  }))
  return openTestFederation(t, { relations, store })
}

describe('bundles', () => {
  it('come in pages, each small enough and of the schema, and none is left out', async (t) => {
    const { federation } = await holding(t)
    const found: NamedBundle[] = []
    let after: TrustDomain | undefined
    let pages = 0
    for (;;) {
      const result = await federation.bundles(after === undefined ? {} : { after })
      assert.deepEqual(parseBundlesResult(JSON.parse(JSON.stringify(result)), 'result'), result)
      assert.ok(result.bundles.reduce((sum, one) => sum + one.document.length, 0) <= MAX_BUNDLES_BYTES)
      found.push(...result.bundles)
      pages += 1
      after = result.bundles.at(-1)?.td
      if (!result.more) break
    }
    assert.ok(pages > 1)
    assert.deepEqual(
      found.map((one) => one.td),
      ['mesh.example', ...names],
    )
  })

  it('after our own are all of the others', async (t) => {
    const { federation } = await holding(t)
    const { bundles } = await federation.bundles({ after: parseTrustDomain('mesh.example') })
    assert.equal(bundles[0]?.td, 'b.example')
  })

  it('of relations that are no more are forgotten when the hub starts', async (t) => {
    const store = new MemoryFederationStore()
    await store.put({ trustDomain: 'gone.example', document: bundleText(entries), fetchedAt: NOW })
    const { federation } = await openTestFederation(t, { relations: [], store })
    assert.deepEqual(
      (await federation.bundles({})).bundles.map((one) => one.td),
      ['mesh.example'],
    )
    assert.equal(store.kept.size, 0)
  })

  it('do not come from a store that holds what no hub wrote', async (t) => {
    const store = new MemoryFederationStore()
    await store.put({ trustDomain: 'b.example', document: 'not json', fetchedAt: NOW })
    const caFile = await fileWith(t, certificatesToPem([webCa.der]))
    const relation = {
      trustDomain: 'b.example',
      endpointUrl: 'https://a.example/',
      profile: 'https_web',
      caFile,
    }
    await assert.rejects(openTestFederation(t, { relations: [relation], store }), {
      code: 'ZT-422-SPIFFE-BUNDLE',
    })
  })

  it('of a file that cannot be read stop the hub', async (t) => {
    const relation = {
      trustDomain: 'b.example',
      endpointUrl: 'https://a.example/',
      profile: 'https_web',
      caFile: '/nowhere',
    }
    await assert.rejects(openTestFederation(t, { relations: [relation] }), { code: 'ZT-400-CONFIG' })
    const spiffe = {
      trustDomain: 'b.example',
      endpointUrl: 'https://a.example/',
      profile: 'https_spiffe',
      endpointSpiffeId: 'spiffe://b.example/server',
      bundleFile: await fileWith(t, '{"keys":1}'),
    }
    await assert.rejects(openTestFederation(t, { relations: [spiffe] }), { code: 'ZT-400-CONFIG' })
  })
})

describe('a peer that counts nothing and has revoked all its keys', () => {
  const unnumbered = (document: string): string => document.replace(/"spiffe_sequence":\d+,?/, '')

  it('is let in again by another file of the operator, and not by the one of before', async (t) => {
    const store = new MemoryFederationStore()
    const server = await startBundleServer(t, [spiffeServer()])
    server.body = '{"keys":[]}'
    const old = await spiffeRelation(t, server.url, unnumbered(documentOf([ca], 1)))
    await fetched(await openTestFederation(t, { relations: [old], store }))
    const x509Of = async (relation: object): Promise<number | undefined> => {
      const { federation, rows } = await openTestFederation(t, { relations: [relation], store })
      types.push(...rows.types)
      return federation.list()[0]?.x509
    }
    const types: string[] = []
    assert.equal(await x509Of(old), 0)
    const next = await spiffeRelation(t, server.url, unnumbered(documentOf([nextCa], 1)))
    assert.equal(await x509Of(next), 1)
    assert.deepEqual(types, ['federation.updated'])
    assert.equal(await x509Of(next), 1)
  })
})
