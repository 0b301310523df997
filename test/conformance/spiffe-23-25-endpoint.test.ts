// SPIFFE Federation §5: what a relation is made of, and how our bundle is served: items 23 to 25.
import assert from 'node:assert/strict'
import { request, type RequestOptions } from 'node:https'
import { describe, type TestContext } from 'node:test'
import { relationConfigs, relationsField } from '#hub/federation/config.ts'
import { startBundleEndpoint } from '#hub/federation/endpoint.ts'
import { parseEndpointUrl } from '#hub/federation/endpoint-url.ts'
import { silentLogger } from '#shared/host/logger.ts'
import { parseTrustDomain } from '#shared/identity/names.ts'
import { certificatesToPem } from '#shared/x509/pem.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { accepts, refuses } from '#test/support/conformance.ts'
import { FOREIGN as TD, NOW, SERVER, spiffeServer } from '#test/support/foreign-relation.ts'

const own = parseTrustDomain('mesh.example')

// §5.1: "clients MUST be configured with the following three parameters".
describe('parameters', () => {
  const good = { trustDomain: TD, endpointUrl: 'https://a.example/b', profile: 'https_web' }
  const parse = (relations: readonly unknown[]): unknown =>
    relationConfigs(own, relationsField(relations, 'federation'), (path) => path)

  accepts(23, 'trust domain, address and profile, with nothing told from another', () => {
    assert.ok(parse([good]))
    assert.ok(parse([{ ...good, profile: 'https_spiffe', endpointSpiffeId: SERVER, bundleFile: 'b' }]))
  })
  const bad: Record<string, readonly object[]> = {
    'no trust domain': [{ ...good, trustDomain: undefined }],
    'no address': [{ ...good, endpointUrl: undefined }],
    'no profile': [{ ...good, profile: undefined }],
    'an unknown profile': [{ ...good, profile: 'http' }],
    'https_spiffe without a spiffe id': [{ ...good, profile: 'https_spiffe', bundleFile: 'b' }],
    'a self-serving endpoint without a first bundle': [
      { ...good, profile: 'https_spiffe', endpointSpiffeId: SERVER },
    ],
    'an endpoint of a trust domain that nobody knows': [
      { ...good, profile: 'https_spiffe', endpointSpiffeId: 'spiffe://x.example/a' },
    ],
    'a first bundle for an endpoint of another trust domain': [
      { ...good, profile: 'https_spiffe', endpointSpiffeId: 'spiffe://mesh.example/a', bundleFile: 'b' },
    ],
    'a spiffe id for https_web': [{ ...good, endpointSpiffeId: SERVER }],
    'a trust domain twice': [good, good],
    'our own trust domain': [{ ...good, trustDomain: 'mesh.example' }],
  }
  for (const [what, relations] of Object.entries(bad))
    refuses(23, what, () => assert.throws(() => parse(relations), { code: 'ZT-422-SCHEMA' }))
})

// §5.2.1.1: "MUST have the scheme set to https and MUST NOT include userinfo in the authority component."
describe('address', () => {
  for (const url of [
    'https://a.example',
    'https://a.example:8443/x?y=z',
    'https://[::1]/b',
    'https://10.0.0.1/b',
  ])
    accepts(24, url, () => assert.equal(parseEndpointUrl(url).protocol, 'https:'))

  const bad = [
    'http://a.example/',
    'https:a.example',
    'https:/a.example',
    'https://u@a.example/',
    'https://u:p@a.example/',
    'https://@a.example/',
    'https://:@a.example/',
    'ftp://a.example/',
    'a.example/b',
    '//a.example/b',
    'https://a b.example/',
    'https://',
    `https://a.example/${'x'.repeat(2048)}`,
  ]
  for (const url of bad)
    refuses(24, JSON.stringify(url.slice(0, 40)), () =>
      assert.throws(() => parseEndpointUrl(url), { code: 'ZT-422-SCHEMA' }),
    )
})

// §5.2.1.3: "servers MUST NOT require client authentication"; "MUST respond with the most up-to-date version"; "MUST be
// encoded as UTF-8 and SHOULD set the Content-Type header to application/json".
describe('serving', () => {
  async function served(
    t: TestContext,
  ): Promise<{ options: RequestOptions; set: (document: string) => void }> {
    let document = '{"keys":[]}'
    const leaf = spiffeServer()
    const endpoint = await startBundleEndpoint({
      listen: { host: '127.0.0.1', port: 0 },
      path: '/bundle.json',
      tls: {
        cert: certificatesToPem([leaf.der]),
        key: leaf.key.export({ type: 'pkcs8', format: 'pem' }).toString(),
      },
      document: () => Promise.resolve(document),
      clock: new ManualClock(NOW),
      log: silentLogger,
    })
    t.after(() => void endpoint.close())
    const options = {
      host: '127.0.0.1',
      port: endpoint.port,
      path: '/bundle.json',
      rejectUnauthorized: false,
    }
    return { options, set: (next) => (document = next) }
  }

  interface Answer {
    readonly status: number | undefined
    readonly type: string | undefined
    readonly body: string
  }

  function answer(options: RequestOptions): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const sent = request(options, (response) => {
        const { statusCode: status, headers } = response
        let body = ''
        response.setEncoding('utf8').on('data', (chunk: string) => {
          body += chunk
        })
        response.on('end', () => resolve({ status, type: headers['content-type'], body }))
      })
      sent.on('error', reject)
      sent.end()
    })
  }

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
    accepts(25, `anybody's GET over ${version}, with the newest bundle as json`, async (t) => {
      const { options, set } = await served(t)
      const tls = { ...options, minVersion: version, maxVersion: version, agent: false as const }
      const first = await answer(tls)
      assert.deepEqual([first.status, first.type, first.body], [200, 'application/json', '{"keys":[]}'])
      set('{"keys":[],"spiffe_sequence":2}')
      assert.equal((await answer(tls)).body, '{"keys":[],"spiffe_sequence":2}')
    })

  refuses(25, 'other methods, other paths, and TLS below 1.2', async (t) => {
    const { options } = await served(t)
    assert.equal((await answer({ ...options, method: 'POST' })).status, 405)
    assert.equal((await answer({ ...options, path: '/' })).status, 404)
    assert.equal((await answer({ ...options, path: '/bundle.json/..' })).status, 404)
    const old = {
      ...options,
      minVersion: 'TLSv1.1',
      maxVersion: 'TLSv1.1',
      ciphers: 'ALL@SECLEVEL=0',
    } as const
    await assert.rejects(answer({ ...old, agent: false }))
  })

  refuses(25, 'more than its share to one address', async (t) => {
    const { options } = await served(t)
    const answers = await Promise.all(Array.from({ length: 62 }, () => answer({ ...options, agent: false })))
    assert.ok(answers.some((one) => one.status === 429))
  })
})
