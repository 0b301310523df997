// A bundle of before, with a key that was taken away since, does not come back: not from the endpoint, not from a cache in
// front of it, not from the operator's old file, and not because a hub was started anew.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseTrustDomain } from '#shared/identity/names.ts'
import { parseBundleDocument } from '#shared/spiffe/bundle-document.ts'
import { MemoryFederationStore } from '#test/fakes/memory-federation-store.ts'
import { startBundleServer } from '#test/support/bundle-server.ts'
import { eventually } from '#test/support/eventually.ts'
import {
  ca,
  documentOf,
  failureOf,
  fetched,
  nextCa,
  NOW,
  spiffeFederation,
  spiffeRelation,
  spiffeServer,
  statusOf,
} from '#test/support/foreign-relation.ts'
import { openTestFederation, type TestFederation } from '#test/support/relations.ts'

const unnumbered = (document: string): string => document.replace(/"spiffe_sequence":\d+,?/, '')

/** Lets one interval go by, and waits for that fetch. */
async function again(made: TestFederation, asked: readonly string[]): Promise<void> {
  const before = asked.length
  made.clock.advance(60_000)
  await eventually('the next fetch', () => (asked.length > before ? true : undefined))
  await made.federation.close()
}

describe('an older bundle', () => {
  it('does not replace a newer one', async (t) => {
    const { server, made } = await spiffeFederation(t, [spiffeServer()], documentOf([ca, nextCa], 9, 60))
    server.body = documentOf([ca], 8, 60)
    await again(made, server.asked)
    assert.deepEqual(await failureOf(made), ['ZT-401-FEDERATION', 'older'])
    assert.deepEqual(statusOf(made), { sequence: '9', x509: 2, failing: 'ZT-401-FEDERATION' })
  })

  it('does not replace it with numbers beyond what a double holds', async (t) => {
    const huge = (tail: string): string =>
      documentOf([ca], 1, 60).replace('"spiffe_sequence":1', `"spiffe_sequence":184467440737095516${tail}`)
    const { server, made } = await spiffeFederation(t, [spiffeServer()], huge('15'))
    assert.equal(statusOf(made).sequence, '18446744073709551615')
    server.body = huge('14')
    await again(made, server.asked)
    assert.deepEqual(await failureOf(made), ['ZT-401-FEDERATION', 'older'])
  })

  it('does not come in under the number of the newer one', async (t) => {
    const { server, made } = await spiffeFederation(t, [spiffeServer()], documentOf([ca, nextCa], 9, 60))
    server.body = documentOf([ca], 9, 60)
    await again(made, server.asked)
    assert.deepEqual(await failureOf(made), ['ZT-401-FEDERATION', 'same-sequence'])
    assert.equal(statusOf(made).x509, 2)
  })

  it('does not come in by way of one without a number', async (t) => {
    const { server, made } = await spiffeFederation(t, [spiffeServer()], documentOf([ca, nextCa], 9, 60))
    server.body = unnumbered(documentOf([ca], 8, 60))
    await again(made, server.asked)
    assert.deepEqual(await failureOf(made), ['ZT-401-FEDERATION', 'unnumbered'])
    assert.deepEqual(statusOf(made), { sequence: '9', x509: 2, failing: 'ZT-401-FEDERATION' })
  })

  it("does not come back from the operator's file where the peer counts nothing", async (t) => {
    const store = new MemoryFederationStore()
    const server = await startBundleServer(t, [spiffeServer(ca)])
    const document = unnumbered(documentOf([nextCa], 1))
    await store.put({ trustDomain: 'other.example', document, fetchedAt: NOW })
    const relations = [await spiffeRelation(t, server.url, documentOf([ca], 7))]
    for (const start of ['the first', 'the next']) {
      const made = await openTestFederation(t, { relations, store })
      assert.deepEqual(statusOf(made), { sequence: null, x509: 1, failing: null }, start)
    }
  })

  it("does not come back from the operator's file after a restart", async (t) => {
    const store = new MemoryFederationStore()
    const server = await startBundleServer(t, [spiffeServer(nextCa)])
    server.body = documentOf([nextCa], 9)
    const first = { ...(await spiffeRelation(t, server.url, documentOf([nextCa], 8))) }
    await fetched(await openTestFederation(t, { relations: [first], store }))
    // The file on disk is of the time before the key was taken away.
    const old = await spiffeRelation(t, server.url, documentOf([ca], 7))
    const made = await openTestFederation(t, { relations: [old], store })
    assert.deepEqual(statusOf(made), { sequence: '9', x509: 1, failing: null })
    const { bundles } = await made.federation.bundles({})
    const held = parseBundleDocument(bundles[1]?.document ?? '', parseTrustDomain('other.example'))
    assert.deepEqual(Buffer.from(held.x509Authorities[0]?.der ?? []), Buffer.from(nextCa.der))
  })

  it('is not believed from a server that has only the key that was taken away', async (t) => {
    const store = new MemoryFederationStore()
    const server = await startBundleServer(t, [spiffeServer(ca)])
    server.body = documentOf([nextCa], 9)
    const relations = [await spiffeRelation(t, server.url, documentOf([ca], 8))]
    await fetched(await openTestFederation(t, { relations, store }))
    server.body = documentOf([ca], 10)
    const made = await openTestFederation(t, { relations, store })
    made.federation.start()
    assert.deepEqual(await failureOf(made), ['ZT-401-FEDERATION', 'certificate'])
    assert.equal(server.asked.length, 1, 'it was asked only while its key counted')
  })

  it('does not count while its row cannot be written, nor while it cannot be stored', async (t) => {
    for (const fault of ['rows', 'store'] as const) {
      const { server, made } = await spiffeFederation(t, [spiffeServer()], documentOf([ca], 9, 60))
      server.body = documentOf([ca, nextCa], 10, 60)
      if (fault === 'rows') made.rows.full = true
      else made.store.broken = true
      await again(made, server.asked)
      assert.equal(statusOf(made).sequence, '9', fault)
    }
  })
})
