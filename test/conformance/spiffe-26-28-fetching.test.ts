// SPIFFE Federation §4.2, §5.2 and X509-SVID §5.2, over real TLS: item 14 and items 26 to 28.
import assert from 'node:assert/strict'
import { describe, type TestContext } from 'node:test'
import { parseBundleDocument } from '#shared/spiffe/bundle-document.ts'
import { verifyForeignSvid } from '#shared/spiffe/foreign-svid.ts'
import { MemoryFederationStore } from '#test/fakes/memory-federation-store.ts'
import { startBundleServer, type BundleServer } from '#test/support/bundle-server.ts'
import { accepts, refuses } from '#test/support/conformance.ts'
import { eventually } from '#test/support/eventually.ts'
import { foreignCa, foreignLeaf, type ForeignCertificate } from '#test/support/foreign-pki.ts'
import {
  ca,
  documentOf,
  failureOf,
  fetched,
  fileWith,
  FOREIGN as TD,
  nextCa,
  NOW,
  SERVER,
  spiffeFederation,
  spiffeRelation,
  spiffeServer,
  statusOf,
  webCa,
  webRelation,
  webServer,
} from '#test/support/foreign-relation.ts'
import { openTestFederation, type TestFederation } from '#test/support/relations.ts'
import { makeTestPki } from '#test/support/test-pki.ts'

const at = { at: NOW } as const

// X509-SVID §5.2, Federation §5.2.2: "This profile allows bundle endpoints to avoid the use of network locators as a form of
// server identity".
describe('identity is not the host name', () => {
  accepts(14, 'the expected spiffe id behind a host name that its certificate does not have', async (t) => {
    const { made } = await spiffeFederation(t, [spiffeServer()])
    assert.deepEqual(statusOf(made), { sequence: '2', x509: 1, failing: null })
  })
  refuses(14, 'another spiffe id of that trust domain, with the right host name', async (t) => {
    const other = foreignLeaf(ca, `spiffe://${TD}/somebody-else`, { ...at, dns: ['localhost'] })
    const { server, made } = await spiffeFederation(t, [other])
    assert.deepEqual(await failureOf(made), ['ZT-401-FEDERATION', 'server-identity'])
    assert.deepEqual(server.asked, [], 'nothing is asked of a server that did not prove itself')
  })
})

// §5.2.2.4: "it MUST be validated that the server certificate is a valid X509-SVID for the bundle endpoint SPIFFE ID";
// "Upon the first connection […] the operator-supplied SPIFFE bundle […]. The latest available bundle MUST be used to
// validate any subsequent connections."
describe('https_spiffe', () => {
  accepts(26, 'the first fetch by the given bundle, later ones by the newest', async (t) => {
    const first = await startBundleServer(t, [spiffeServer(ca)])
    first.body = documentOf([nextCa], 2)
    const store = new MemoryFederationStore()
    const relation = await spiffeRelation(t, first.url, documentOf([ca], 1))
    const made = await fetched(await openTestFederation(t, { relations: [relation], store }))
    assert.deepEqual(statusOf(made), { sequence: '2', x509: 1, failing: null })
    // A hub that was started anew goes on with what it fetched, not with what it was given.
    const later = await startBundleServer(t, [spiffeServer(nextCa)])
    later.body = documentOf([nextCa], 3)
    const again = { ...relation, endpointUrl: later.url.href }
    const restarted = await fetched(await openTestFederation(t, { relations: [again], store }))
    assert.deepEqual(statusOf(restarted), { sequence: '3', x509: 1, failing: null })
  })

  accepts(26, 'an endpoint of another trust domain, by the bundle of that one', async (t) => {
    const third = foreignCa('third.example', at)
    const server = await startBundleServer(t, [foreignLeaf(third, 'spiffe://third.example/mirror', at)])
    server.body = documentOf([ca], 4)
    const relations = [
      {
        trustDomain: TD,
        endpointUrl: server.url.href,
        profile: 'https_spiffe',
        endpointSpiffeId: 'spiffe://third.example/mirror',
      },
      {
        trustDomain: 'third.example',
        endpointUrl: new URL('/third', server.url).href,
        profile: 'https_spiffe',
        endpointSpiffeId: 'spiffe://third.example/mirror',
        bundleFile: await fileWith(t, documentOf([third], 1)),
      },
    ]
    const made = await fetched(await openTestFederation(t, { relations }))
    assert.deepEqual(statusOf(made), { sequence: '4', x509: 1, failing: null })
  })

  accepts(26, 'an endpoint of our own trust domain, by our own rules', async (t) => {
    const pki = await makeTestPki({ now: NOW })
    const mirror = (path: string): Promise<BundleServer> => {
      const { chain, key } = pki.identity(path)
      return startBundleServer(
        t,
        chain.map((der) => ({ der, key })),
      )
    }
    const relation = (server: BundleServer): object => ({
      trustDomain: TD,
      endpointUrl: server.url.href,
      profile: 'https_spiffe',
      endpointSpiffeId: 'spiffe://mesh.example/hub/h1',
    })
    const [hub, node] = [await mirror('/hub/h1'), await mirror('/node/n1')]
    hub.body = documentOf([ca], 5)
    const made = await fetched(await openTestFederation(t, { relations: [relation(hub)], pki }))
    assert.deepEqual(statusOf(made), { sequence: '5', x509: 1, failing: null })
    const other = await fetched(await openTestFederation(t, { relations: [relation(node)], pki }))
    assert.deepEqual(await failureOf(other), ['ZT-401-FEDERATION', 'server-identity'])
    const stranger = await openTestFederation(t, { relations: [relation(hub)] })
    assert.deepEqual(await failureOf(await fetched(stranger)), ['ZT-401-FEDERATION', 'certificate'])
  })

  const strangers: Record<string, () => ForeignCertificate[]> = {
    'a root that the bundle does not have': () => [spiffeServer(foreignCa(TD, at))],
    'an SVID that has expired': () => [foreignLeaf(ca, SERVER, { at: NOW, notAfter: NOW - 1000 })],
    'a certificate without a spiffe id': () => [webServer('localhost', ca)],
    'an authority of the trust domain itself': () => [foreignCa(TD, { ...at, issuer: ca, name: 'x' })],
    'two spiffe ids': () => [foreignLeaf(ca, SERVER, { ...at, uris: [SERVER, `spiffe://${TD}/b`] })],
  }
  for (const [what, chain] of Object.entries(strangers))
    refuses(26, `a server with ${what}`, async (t) => {
      const { server, made } = await spiffeFederation(t, chain())
      assert.deepEqual(await failureOf(made), ['ZT-401-FEDERATION', 'certificate'])
      assert.deepEqual(server.asked, [])
      assert.equal(statusOf(made).sequence, '1', 'the bundle of before stays')
    })

  refuses(26, 'the given bundle once a newer one took its key away', async (t) => {
    const store = new MemoryFederationStore()
    const server = await startBundleServer(t, [spiffeServer(ca)])
    server.body = documentOf([nextCa], 2)
    const relations = [await spiffeRelation(t, server.url, documentOf([ca], 1))]
    await fetched(await openTestFederation(t, { relations, store }))
    const again = await openTestFederation(t, { relations, store })
    again.federation.start()
    assert.deepEqual(await failureOf(again), ['ZT-401-FEDERATION', 'certificate'])
  })
})

// §5.2.1.4: "the server certificate MUST be validated in accordance with RFC 6125".
describe('https_web', () => {
  accepts(26, 'a certificate of that name from an authority of the web', async (t) => {
    const server = await startBundleServer(t, [webServer('localhost')])
    server.body = documentOf([ca], 2)
    const made = await fetched(await openTestFederation(t, { relations: [await webRelation(t, server.url)] }))
    assert.deepEqual(statusOf(made), { sequence: '2', x509: 1, failing: null })
  })
  const strangers: Record<string, () => ForeignCertificate> = {
    'of another name': () => webServer('elsewhere.example'),
    'of an unknown authority': () => webServer('localhost', foreignCa('web.example', { ...at, uris: [] })),
    'that has expired': () => foreignLeaf(webCa, SERVER, { ...at, dns: ['localhost'], notAfter: NOW - 1000 }),
  }
  for (const [what, leaf] of Object.entries(strangers))
    refuses(26, `a web server with a certificate ${what}`, async (t) => {
      const server = await startBundleServer(t, [leaf()])
      const made = await fetched(
        await openTestFederation(t, { relations: [await webRelation(t, server.url)] }),
      )
      assert.deepEqual(await failureOf(made), ['ZT-401-FEDERATION', 'certificate'])
      assert.deepEqual(server.asked, [])
    })
})

// §5.2.1.4, §5.2.2.4: "SHOULD follow the redirect if the URL meets all the requirements […]. When connecting to the new URL,
// the same TLS considerations MUST be applied […]; SHOULD NOT permanently store the location".
describe('redirects', () => {
  const redirect = (server: BundleServer, location: string, code = 302): void => {
    server.answer = (_message, response) => {
      response.writeHead(code, { location })
      response.end()
    }
  }

  for (const code of [301, 302, 307, 308])
    accepts(
      27,
      `${code} to an endpoint that proves the same, each time from the configured one`,
      async (t) => {
        const target = await startBundleServer(t, [spiffeServer()])
        target.body = documentOf([ca], 2, 10)
        const server = await startBundleServer(t, [spiffeServer()])
        redirect(server, target.url.href, code)
        const made = await fetched(
          await openTestFederation(t, {
            relations: [await spiffeRelation(t, server.url, documentOf([ca], 1, 10))],
          }),
        )
        assert.equal(statusOf(made).sequence, '2')
        made.clock.advance(10_000)
        await eventually('the second fetch', () => (target.asked.length === 2 ? true : undefined))
        assert.equal(server.asked.length, 2)
      },
    )

  refuses(27, 'a target with another identity', async (t) => {
    const target = await startBundleServer(t, [spiffeServer(ca, `spiffe://${TD}/other`)])
    const { server, made } = await redirected(t, target.url.href)
    assert.deepEqual(await failureOf(made), ['ZT-401-FEDERATION', 'server-identity'])
    assert.deepEqual([server.asked.length, target.asked.length], [1, 0])
  })
  for (const location of [
    'http://localhost/b',
    'https://u:p@localhost/b',
    'ftp://localhost/',
    '//u@localhost/',
  ])
    refuses(27, `a target that is no endpoint's address: "${location}"`, async (t) => {
      const { made } = await redirected(t, location)
      assert.deepEqual(await failureOf(made), ['ZT-401-FEDERATION', 'redirect'])
      assert.equal(statusOf(made).sequence, '1')
    })
  refuses(27, 'redirects without end', async (t) => {
    const { server, made } = await redirected(t, '/again')
    assert.deepEqual(await failureOf(made), ['ZT-401-FEDERATION', 'redirect'])
    assert.equal(server.asked.length, 6)
  })

  async function redirected(
    t: TestContext,
    location: string,
  ): Promise<{ server: BundleServer; made: TestFederation }> {
    const server = await startBundleServer(t, [spiffeServer()])
    redirect(server, location)
    const relations = [await spiffeRelation(t, server.url, documentOf([ca], 1))]
    return { server, made: await fetched(await openTestFederation(t, { relations })) }
  }
})

// §4.2: "Bundle contents from different trust domains MUST NOT be merged into a single, larger bundle." §7.3: the pair.
describe('bundles of several trust domains', () => {
  const third = foreignCa('third.example', at)

  async function two(t: TestContext): Promise<TestFederation> {
    const server = await startBundleServer(t, [webServer('localhost')])
    server.answer = (message, response) =>
      void response.end(message.url === '/third' ? documentOf([third], 1) : documentOf([ca], 1))
    const web = await webRelation(t, server.url)
    const relations = [
      web,
      { ...web, trustDomain: 'third.example', endpointUrl: new URL('/third', server.url).href },
    ]
    return fetched(await openTestFederation(t, { relations }))
  }

  accepts(28, 'each is handed on with its name, ours first', async (t) => {
    const { bundles, more } = await (await two(t)).federation.bundles({})
    assert.deepEqual(
      bundles.map((one) => one.td),
      ['mesh.example', TD, 'third.example'],
    )
    assert.equal(more, false)
    for (const one of bundles)
      assert.equal(parseBundleDocument(one.document, one.td).x509Authorities.length, 1)
  })
  refuses(28, 'to judge by the bundle of a neighbour', async (t) => {
    const { federation } = await two(t)
    const { bundles } = await federation.bundles({})
    const source = new Map(
      bundles.map((one) => [one.td as string, parseBundleDocument(one.document, one.td)]),
    )
    const forged = foreignLeaf(third, `spiffe://${TD}/a`, at)
    assert.throws(() => verifyForeignSvid([forged.der], (domain) => source.get(domain), NOW), {
      code: 'ZT-401-CERT',
    })
  })
})
