import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { freePort } from '#ops/demo/free-port.ts'
import { parseTrustDomain } from '#shared/identity/names.ts'
import type { NamedBundle, RelationStatus } from '#shared/protocol/federation.ts'
import { parseBundleDocument, type BundleDocument } from '#shared/spiffe/bundle-document.ts'
import { verifyForeignSvid } from '#shared/spiffe/foreign-svid.ts'
import { certificatesToPem } from '#shared/x509/pem.ts'
import { eventually } from '#test/support/eventually.ts'
import type { ForeignCertificate } from '#test/support/foreign-pki.ts'
import { webCa, webServer } from '#test/support/foreign-relation.ts'
import { programArgs, startTestHub, type TestHub } from '#test/support/hub.ts'
import { certificateOf, operator, rawRequest, type TestClient } from '#test/support/hub-client.ts'
import { joinNode } from '#test/support/hub-node.ts'
import { needsNats } from '#test/support/nats.ts'

const run = promisify(execFile)
const DOMAINS = { north: 'north.example', south: 'south.example', web: 'web-served.example' } as const
type Name = keyof typeof DOMAINS

const url = (port: number): string => `https://localhost:${port}/bundle.json`
const pemOf = (key: ForeignCertificate['key']): string =>
  key.export({ type: 'pkcs8', format: 'pem' }).toString()

/** Writes `change` into the configuration of the hub, which has to be started anew to see it. */
function configure(hub: TestHub, change: object): void {
  const config = JSON.parse(readFileSync(hub.configFile, 'utf8')) as object
  writeFileSync(hub.configFile, JSON.stringify({ ...config, ...change }))
}

describe('hubs of three trust domains', { skip: needsNats }, () => {
  let dir: string
  const ports = {} as Record<Name, number>
  const hubs = {} as Record<Name, TestHub>
  const clients: TestClient[] = []

  async function start(name: Name, config: object): Promise<void> {
    ports[name] = await freePort()
    hubs[name] = await startTestHub({
      trustDomain: DOMAINS[name],
      config: {
        bundleEndpoint: { listen: { host: '127.0.0.1', port: ports[name] }, profile: 'https_spiffe' },
        ...config,
      },
    })
  }

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'zt-fed-'))
    writeWebCertificate('localhost')
    writeFileSync(join(dir, 'web-ca.pem'), certificatesToPem([webCa.der]))
    await start('north', {})
    await start('south', { federation: [await relationTo('north')] })
    const port = await freePort()
    const files = { certFile: join(dir, 'cert.pem'), keyFile: join(dir, 'key.pem') }
    await start('web', {
      bundleEndpoint: { listen: { host: '127.0.0.1', port }, profile: { type: 'https_web', ...files } },
    })
    ports.web = port
    configure(hubs.north, { federation: [await relationTo('south'), webRelation()] })
    await hubs.north.restart('SIGTERM')
  })
  after(async () => {
    for (const client of clients) await client.close()
    for (const hub of Object.values(hubs)) await hub.stop()
    await rm(dir, { recursive: true, force: true })
  })

  function writeWebCertificate(dns: string): void {
    const leaf = webServer(dns)
    writeFileSync(join(dir, 'cert.pem'), certificatesToPem([leaf.der]))
    writeFileSync(join(dir, 'key.pem'), pemOf(leaf.key), { mode: 0o600 })
  }

  /** A relation by https_spiffe, with the bundle that the other side hands out now. */
  async function relationTo(name: Name): Promise<object> {
    const bundleFile = join(dir, `${name}.json`)
    const client = await clientOf(name)
    const { bundles } = await client.call('bundles', {})
    writeFileSync(bundleFile, bundles[0]?.document ?? '')
    return {
      trustDomain: DOMAINS[name],
      endpointUrl: url(ports[name]),
      profile: 'https_spiffe',
      endpointSpiffeId: hubs[name].id,
      bundleFile,
    }
  }

  const webRelation = (): object => ({
    trustDomain: DOMAINS.web,
    endpointUrl: url(ports.web),
    profile: 'https_web',
    caFile: join(dir, 'web-ca.pem'),
  })

  async function clientOf(name: Name): Promise<TestClient> {
    const client = await operator(hubs[name])
    clients.push(client)
    return client
  }

  async function relationsOf(name: Name): Promise<ReadonlyMap<string, RelationStatus>> {
    const { relations } = await (await clientOf(name)).call('federation.list', {})
    return new Map(relations.map((one) => [one.trust_domain, one]))
  }

  /** Waits until the relation is as it should be. */
  const relation = (
    name: Name,
    to: Name,
    holds: (found: RelationStatus) => boolean,
  ): Promise<RelationStatus> =>
    eventually(`what ${name} knows of ${to}`, async () => {
      const found = (await relationsOf(name)).get(DOMAINS[to])
      return found !== undefined && holds(found) ? found : undefined
    })

  const bundlesOf = async (client: TestClient): Promise<ReadonlyMap<string, BundleDocument>> => {
    const { bundles, more } = await client.call('bundles', {})
    assert.equal(more, false)
    return new Map(bundles.map((one: NamedBundle) => [one.td, parseBundleDocument(one.document, one.td)]))
  }

  it('fetch each other by https_spiffe, and the third by https_web', async () => {
    const fetched = (one: RelationStatus): boolean => one.fetched !== null && one.failing === null
    for (const [from, to] of [
      ['south', 'north'],
      ['north', 'south'],
      ['north', 'web'],
    ] as const) {
      const { x509, jwt } = await relation(from, to, fetched)
      assert.deepEqual([x509, jwt], [1, 1], `${from} of ${to}`)
    }
  })

  it('hand out every bundle under its name, ours first, to operators and nodes', async () => {
    const alice = await clientOf('north')
    const node = await joinNode(hubs.north, alice, { name: 'n1' })
    try {
      for (const client of [alice, node.client])
        assert.deepEqual([...(await bundlesOf(client)).keys()], [DOMAINS.north, DOMAINS.south, DOMAINS.web])
    } finally {
      await node.close()
    }
  })

  it('have their SVIDs verified with what another hands out, by no other bundle', async () => {
    const bob = await clientOf('south')
    const node = await joinNode(hubs.south, bob, { name: 'n1' })
    const known = await bundlesOf(await clientOf('north'))
    try {
      const { chain } = node.client.identity
      assert.equal(
        verifyForeignSvid(chain, (td) => known.get(td), Date.now()).id,
        `spiffe://${DOMAINS.south}/node/n1`,
      )
      const mixed = (): BundleDocument | undefined => known.get(DOMAINS.north)
      assert.throws(() => verifyForeignSvid(chain, mixed, Date.now()), { code: 'ZT-401-CERT' })
    } finally {
      await node.close()
    }
  })

  it('take up a root that the other added', async () => {
    const { table, bundleFile } = hubs.north
    const before = (await relation('south', 'north', () => true)).sequence ?? '0'
    await table.run(await table.rotateFile())
    copyFileSync(join(table.dir, table.held), bundleFile)
    process.kill(hubs.north.pid, 'SIGHUP')
    await eventually('both roots in the bundle of the north', async () => {
      const own = (await bundlesOf(await clientOf('north'))).get(DOMAINS.north)
      return own?.x509Authorities.length === 2 ? true : undefined
    })
    await hubs.south.restart('SIGTERM')
    const after = await relation('south', 'north', (one) => one.x509 === 2)
    assert.ok(BigInt(after.sequence ?? '0') > BigInt(before))
  })

  it('keep what they have while the other is down, and after a kill -9', async () => {
    await hubs.north.kill('SIGTERM')
    await hubs.south.restart('SIGKILL')
    const down = await relation('south', 'north', (one) => one.failing !== null)
    assert.deepEqual([down.x509, down.failing], [2, 'ZT-503-FEDERATION'])
    await hubs.north.start()
    await hubs.south.restart('SIGKILL')
    await relation('south', 'north', (one) => one.failing === null)
    // The north came back after the south did: it asks again now.
    await hubs.north.restart('SIGTERM')
    await relation('north', 'south', (one) => one.failing === null && one.fetched !== null)
  })

  it('fetch by https_web under the authorities of their system, where the relation names none', async () => {
    const { caFile: _, ...plain } = webRelation() as { caFile: string }
    const south = await relationTo('south')
    configure(hubs.north, { federation: [south, plain] })
    await hubs.north.restart('SIGTERM')
    const refused = await relation('north', 'web', (one) => one.failing !== null)
    assert.equal(refused.failing, 'ZT-401-FEDERATION')
    process.env['SSL_CERT_FILE'] = join(dir, 'web-ca.pem')
    try {
      await hubs.north.restart('SIGTERM')
      await relation('north', 'web', (one) => one.failing === null)
    } finally {
      delete process.env['SSL_CERT_FILE']
    }
    configure(hubs.north, { federation: [south, webRelation()] })
    await hubs.north.restart('SIGTERM')
  })

  it('show a replaced certificate without being started anew', async () => {
    const shown = (): Promise<string> =>
      new Promise((resolve, reject) => {
        const socket = connect({ host: '127.0.0.1', port: ports.web, rejectUnauthorized: false }, () => {
          resolve(socket.getPeerCertificate().subjectaltname ?? '')
          socket.destroy()
        })
        socket.on('error', reject)
      })
    assert.equal(await shown(), 'DNS:localhost')
    writeWebCertificate('other.localhost')
    process.kill(hubs.web.pid, 'SIGHUP')
    await eventually('the new certificate', async () =>
      (await shown()) === 'DNS:other.localhost' ? true : undefined,
    )
    // A key that does not fit is not taken: what was shown before stays.
    writeFileSync(join(dir, 'key.pem'), pemOf(webServer('x').key), { mode: 0o600 })
    process.kill(hubs.web.pid, 'SIGHUP')
    await eventually('the complaint', () =>
      readFileSync(hubs.web.logFile, 'utf8').includes('do not fit each other') ? true : undefined,
    )
    assert.equal(await shown(), 'DNS:other.localhost')
  })

  it('tell ztctl what they know', async () => {
    const home = join(dir, 'home')
    mkdirSync(home)
    const env = { ...process.env, HOME: home, XDG_CONFIG_HOME: home, XDG_RUNTIME_DIR: '', NO_COLOR: '1' }
    const ztctl = async (...args: string[]): Promise<string> => {
      const { stdout } = await run(process.execPath, [...programArgs('ztctl', 'source'), ...args], { env })
      return stdout
    }
    const { url: hub, id, root } = hubs.north
    await ztctl('login', '--hub', hub, '--hub-id', id, '--root-fingerprint', root)
    try {
      const listed = await ztctl('federation', 'ls')
      assert.match(listed, /^TRUST DOMAIN +PROFILE +SEQUENCE/m)
      assert.match(listed, /^south\.example +https_spiffe +\d+ +1 +1 +.* ago/m)
      assert.match(await ztctl('federation', 'ls', '-q'), /^south\.example\nweb-served\.example\n$/)
      const own = parseBundleDocument(await ztctl('federation', 'bundle'), parseTrustDomain(DOMAINS.north))
      assert.equal(own.x509Authorities.length, 2)
      const other = await ztctl('federation', 'bundle', DOMAINS.south)
      assert.equal(parseBundleDocument(other, parseTrustDomain(DOMAINS.south)).x509Authorities.length, 1)
      await assert.rejects(ztctl('federation', 'bundle', 'nobody.example'), { code: 3 })
    } finally {
      await ztctl('logout')
    }
  })

  it('take an identity of the other for nobody', async () => {
    const bob = await clientOf('south')
    const tls = certificateOf(bob.identity)
    for (const path of ['/log/checkpoint', '/oauth/token']) {
      const form = { method: 'POST', headers: { 'content-type': 'application/x-www-form-urlencoded' } }
      const { status, body } = await rawRequest(hubs.north, path, {
        ...tls,
        ...(path === '/oauth/token' && form),
      })
      assert.equal(status, 401, JSON.stringify(body))
    }
  })

  it('forget a relation that is taken out', async () => {
    configure(hubs.north, { federation: [await relationTo('south')] })
    await hubs.north.restart('SIGTERM')
    const known = await bundlesOf(await clientOf('north'))
    assert.deepEqual([...known.keys()], [DOMAINS.north, DOMAINS.south])
    configure(hubs.north, { federation: [] })
    await hubs.north.restart('SIGTERM')
    assert.deepEqual([...(await bundlesOf(await clientOf('north'))).keys()], [DOMAINS.north])
  })
})
