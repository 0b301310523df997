// A bundle endpoint that leads elsewhere leads to nothing that could not have been configured: no plain http, no user in the
// address, no server with another identity; and where it led is forgotten at once.
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import { startBundleServer, type BundleServer } from '#test/support/bundle-server.ts'
import {
  ca,
  documentOf,
  failureOf,
  fetched,
  spiffeRelation,
  spiffeServer,
  statusOf,
  webRelation,
  webServer,
} from '#test/support/foreign-relation.ts'
import { foreignCa, foreignLeaf } from '#test/support/foreign-pki.ts'
import { openTestFederation, type TestFederation } from '#test/support/relations.ts'

const evil = foreignCa('evil.example', { at: Date.now() })

/** A plain server that has a bundle to give; what it was asked is kept. */
async function plainServer(t: TestContext): Promise<{ url: string; asked: string[] }> {
  const asked: string[] = []
  const server = createServer((message, response) => {
    asked.push(message.url ?? '')
    response.end(documentOf([evil], 99))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return { url: `http://localhost:${(server.address() as AddressInfo).port}/bundle.json`, asked }
}

const leads = (server: BundleServer, location: string): void => {
  server.answer = (_message, response) => {
    response.writeHead(308, { location })
    response.end(documentOf([evil], 99))
  }
}

const held = (made: TestFederation): unknown => statusOf(made).sequence

describe('a bundle endpoint that redirects', () => {
  it('to plain http is not followed, by https_spiffe or https_web', async (t) => {
    const plain = await plainServer(t)
    for (const [leaf, relation] of [
      [spiffeServer(), (url: URL) => spiffeRelation(t, url, documentOf([ca], 1))],
      [webServer('localhost'), (url: URL) => webRelation(t, url)],
    ] as const) {
      const server = await startBundleServer(t, [leaf])
      leads(server, plain.url)
      const made = await fetched(await openTestFederation(t, { relations: [await relation(server.url)] }))
      assert.deepEqual(await failureOf(made), ['ZT-401-FEDERATION', 'redirect'])
    }
    assert.deepEqual(plain.asked, [])
  })

  it('to another scheme, or with a user in the address, is not followed', async (t) => {
    for (const location of [
      'file:///etc/passwd',
      'data:application/json,{"keys":[]}',
      'https://me@localhost/',
    ]) {
      const server = await startBundleServer(t, [spiffeServer()])
      leads(server, location)
      const relations = [await spiffeRelation(t, server.url, documentOf([ca], 1))]
      const made = await fetched(await openTestFederation(t, { relations }))
      assert.deepEqual(await failureOf(made), ['ZT-401-FEDERATION', 'redirect'])
      assert.equal(held(made), '1')
    }
  })

  it('to a server of the web has to be https_spiffe there too', async (t) => {
    const target = await startBundleServer(t, [webServer('localhost')])
    target.body = documentOf([evil], 99)
    const server = await startBundleServer(t, [spiffeServer()])
    leads(server, target.url.href)
    const relations = [await spiffeRelation(t, server.url, documentOf([ca], 1))]
    const made = await fetched(await openTestFederation(t, { relations }))
    assert.deepEqual(await failureOf(made), ['ZT-401-FEDERATION', 'certificate'])
    assert.deepEqual(target.asked, [])
  })

  it('to an SVID of another trust domain is not believed', async (t) => {
    const target = await startBundleServer(t, [
      foreignLeaf(evil, 'spiffe://other.example/bundle-server', { at: Date.now() }),
    ])
    const server = await startBundleServer(t, [spiffeServer()])
    leads(server, target.url.href)
    const relations = [await spiffeRelation(t, server.url, documentOf([ca], 1))]
    const made = await fetched(await openTestFederation(t, { relations }))
    assert.deepEqual(await failureOf(made), ['ZT-401-FEDERATION', 'certificate'])
    assert.deepEqual(target.asked, [])
  })

  it('has the body of its redirect ignored', async (t) => {
    const server = await startBundleServer(t, [spiffeServer()])
    leads(server, 'http://localhost/')
    const relations = [await spiffeRelation(t, server.url, documentOf([ca], 1))]
    const made = await fetched(await openTestFederation(t, { relations }))
    await failureOf(made)
    assert.equal(held(made), '1')
  })
})
