// go-spiffe, which we did not write: it accepts our SVIDs and fetches our bundle by both profiles, we accept and fetch what it
// makes and serves, and neither takes what the other refuses.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, describe, it, type TestContext } from 'node:test'
import { startBundleEndpoint } from '#hub/federation/endpoint.ts'
import { decodeBase64, encodeBase64 } from '#shared/encoding/base64url.ts'
import { isZtError } from '#shared/errors/error.ts'
import { systemClock } from '#shared/host/clock.ts'
import { silentLogger } from '#shared/host/logger.ts'
import { parseTrustDomain } from '#shared/identity/names.ts'
import { buildBundleDocument, parseBundleDocument } from '#shared/spiffe/bundle-document.ts'
import { verifyForeignSvid } from '#shared/spiffe/foreign-svid.ts'
import { ecJwkOf } from '#shared/spiffe/jwt-keys.ts'
import { certificatesToPem } from '#shared/x509/pem.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { bentSvid } from '#test/support/bent-svid.ts'
import { fetched, fileWith, FOREIGN, statusOf, webCa, webServer } from '#test/support/foreign-relation.ts'
import { bundleText, foreignCa, x509Jwk, type ForeignCertificate } from '#test/support/foreign-pki.ts'
import { askGo, buildGo, jsonFile, needsGo } from '#test/support/go-spiffe.ts'
import { REFUSED_CHAINS } from '#test/support/refused-chains.ts'
import { openTestFederation } from '#test/support/relations.ts'
import { makeTestPki, type TestPki } from '#test/support/test-pki.ts'

// The real time: the programs look at their own clock.
const NOW = Date.now()
const URI = 'spiffe://mesh.example/node/n1'

interface GoSvids {
  readonly trustDomain: string
  readonly bundle: object
  readonly svids: readonly {
    readonly name: string
    readonly bad: boolean
    readonly chain: readonly string[]
    readonly cert?: string
    readonly key?: string
  }[]
}

interface Verdict {
  readonly name: string
  readonly id?: string
  readonly error?: string
}

let dir: string
let pki: TestPki
let document: string
const programs = new Map<string, string>()
const program = (name: string): string => programs.get(name) ?? ''

before(async () => {
  pki = await makeTestPki({ now: NOW })
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  document = buildBundleDocument({
    trustDomain: pki.trustDomain,
    roots: [pki.root.certificate],
    jwt: [{ kid: 'jwt-1', jwk: ecJwkOf(publicKey) }],
    sequence: 42,
    refreshHint: 300,
  })
  dir = await mkdtemp(join(tmpdir(), 'zt-go-'))
})
after(() => rm(dir, { recursive: true, force: true }))

const build = (...names: readonly string[]): void => {
  for (const name of names) programs.set(name, buildGo(dir, name))
}

async function judgedByGo(
  t: TestContext,
  bundles: object,
  cases: readonly { readonly name: string; readonly chain: readonly Uint8Array[] }[],
): Promise<ReadonlyMap<string, Verdict>> {
  const at = Math.floor(NOW / 1000)
  const input = {
    bundles,
    cases: cases.map(({ name, chain }) => ({ name, chain: chain.map(encodeBase64), at })),
  }
  const answers = (await askGo(program('verify-svid'), [await jsonFile(t, input)])) as Verdict[]
  return new Map(answers.map((one) => [one.name, one]))
}

describe('go-spiffe judges our SVIDs', { skip: needsGo() }, () => {
  before(() => build('verify-svid'))
  const ours = (): object => ({ 'mesh.example': JSON.parse(document) as object })

  it('and knows each by its spiffe id', async (t) => {
    const paths = ['/node/n1', '/operator/ann', '/agent/a/task/t', '/ci/nightly', '/hub/h1', '/nats/h1']
    const cases = paths.map((path) => ({ name: path, chain: pki.identity(path).chain }))
    const verdicts = await judgedByGo(t, ours(), cases)
    for (const path of paths)
      assert.deepEqual(verdicts.get(path), { name: path, id: `spiffe://mesh.example${path}` })
  })

  it('and refuses those that we refuse', async (t) => {
    const bent = {
      'two uri names': bentSvid(pki, { uris: [URI, 'spiffe://mesh.example/hub/h1'] }, NOW).chain,
      'an authority in the place of a leaf': [pki.workload.certificate.der],
    }
    const made = Object.entries(REFUSED_CHAINS).map(([name, make]) => ({ name, chain: make(pki, NOW) }))
    const cases = [...made, ...Object.entries(bent).map(([name, chain]) => ({ name, chain }))]
    const verdicts = await judgedByGo(t, ours(), cases)
    const validator = new SvidValidator(pki.bundle)
    for (const { name, chain } of cases) {
      assert.ok(verdicts.get(name)?.error, `go-spiffe accepts ${name}`)
      assert.throws(() => validator.validate(chain, NOW), { code: 'ZT-401-CERT' }, name)
    }
  })

  it('by no other bundle than that of their trust domain', async (t) => {
    const others = { 'other.example': JSON.parse(document) as object }
    const verdicts = await judgedByGo(t, others, [{ name: 'n1', chain: pki.identity('/node/n1').chain }])
    assert.match(verdicts.get('n1')?.error ?? '', /no X\.509 bundle/)
  })
})

describe("we judge Go's SVIDs", { skip: needsGo() }, () => {
  let corpus: GoSvids
  before(async () => {
    build('make-svids', 'verify-svid')
    corpus = (await askGo(program('make-svids'), [String(Math.floor(NOW / 1000))])) as GoSvids
  })

  const weAccept = (chain: readonly Uint8Array[]): boolean => {
    const bundle = parseBundleDocument(JSON.stringify(corpus.bundle), parseTrustDomain(corpus.trustDomain))
    try {
      return verifyForeignSvid(chain, (td) => (td === bundle.trustDomain ? bundle : undefined), NOW).id !== ''
    } catch (error) {
      assert.ok(isZtError(error, 'ZT-401-CERT'), String(error))
      return false
    }
  }

  it('and read its bundle: both roots, the jwt key, sequence and hint', () => {
    const bundle = parseBundleDocument(JSON.stringify(corpus.bundle), parseTrustDomain(corpus.trustDomain))
    assert.deepEqual(
      [bundle.x509Authorities.length, bundle.jwtAuthorities.length, bundle.sequence, bundle.refreshHint],
      [2, 1, 7n, 60],
    )
    assert.deepEqual(bundle.unusable, [])
  })

  it('and say of every one of them what go-spiffe says', async (t) => {
    const cases = corpus.svids.map(({ name, chain }) => ({
      name,
      chain: chain.map((der) => decodeBase64(der, 'chain')),
    }))
    const verdicts = await judgedByGo(t, { [corpus.trustDomain]: corpus.bundle }, cases)
    assert.ok(corpus.svids.filter(({ bad }) => bad).length >= 15)
    for (const { name, chain } of cases) {
      const bad = corpus.svids.find((one) => one.name === name)?.bad
      assert.equal(verdicts.get(name)?.error === undefined, bad === false, `go-spiffe on ${name}`)
      assert.equal(weAccept(chain), bad === false, `we on ${name}`)
    }
  })
})

describe('go-spiffe fetches our bundle', { skip: needsGo() }, () => {
  before(() => build('bundle'))

  async function endpoint(
    t: TestContext,
    chain: readonly Uint8Array[],
    key: ForeignCertificate['key'],
  ): Promise<string> {
    const made = await startBundleEndpoint({
      listen: { host: '127.0.0.1', port: 0 },
      path: '/bundle.json',
      tls: { cert: certificatesToPem(chain), key: key.export({ type: 'pkcs8', format: 'pem' }).toString() },
      document: () => Promise.resolve(document),
      clock: systemClock,
      log: silentLogger,
    })
    t.after(() => void made.close())
    return `https://localhost:${made.port}/bundle.json`
  }

  const spiffe = (url: string, change: object = {}): object => ({
    trustDomain: 'mesh.example',
    profile: 'https_spiffe',
    url,
    endpointId: 'spiffe://mesh.example/hub/h1',
    endpointBundle: JSON.parse(document) as object,
    ...change,
  })
  const expected = (): object => ({
    sequence: 42,
    refreshHint: 300,
    x509: [encodeBase64(pki.root.certificate.der)],
    jwt: ['jwt-1'],
  })

  it('by https_spiffe, from the SVID of the hub', async (t) => {
    const { chain, key } = pki.identity('/hub/h1')
    const url = await endpoint(t, chain, key)
    assert.deepEqual(await askGo(program('bundle'), ['fetch', await jsonFile(t, spiffe(url))]), expected())
  })

  it('by https_web', async (t) => {
    const leaf = webServer('localhost')
    const url = await endpoint(t, [leaf.der], leaf.key)
    const order = {
      trustDomain: 'mesh.example',
      profile: 'https_web',
      url,
      roots: certificatesToPem([webCa.der]),
    }
    assert.deepEqual(await askGo(program('bundle'), ['fetch', await jsonFile(t, order)]), expected())
  })

  it('and refuses it from any other SVID of ours, and under another root', async (t) => {
    const node = pki.identity('/node/n1')
    const url = await endpoint(t, node.chain, node.key)
    await assert.rejects(askGo(program('bundle'), ['fetch', await jsonFile(t, spiffe(url))]), /unexpected ID/)
    const { chain, key } = pki.identity('/hub/h1')
    const hub = await endpoint(t, chain, key)
    const stranger = await makeTestPki({ now: NOW })
    const roots = { trustDomain: stranger.trustDomain, roots: [stranger.root.certificate], jwt: [] }
    const endpointBundle = JSON.parse(
      buildBundleDocument({ ...roots, sequence: 1, refreshHint: 1 }),
    ) as object
    await assert.rejects(
      askGo(program('bundle'), ['fetch', await jsonFile(t, spiffe(hub, { endpointBundle }))]),
      /could not verify leaf certificate/,
    )
  })
})

describe('we fetch what go-spiffe serves', { skip: needsGo() }, () => {
  let corpus: GoSvids
  before(async () => {
    build('make-svids', 'bundle')
    corpus = (await askGo(program('make-svids'), [String(Math.floor(NOW / 1000))])) as GoSvids
  })

  /** Serves the bundle of the corpus with that certificate, until the test ends; its address. */
  async function serve(t: TestContext, cert: string, key: string): Promise<string> {
    const order = { trustDomain: corpus.trustDomain, document: corpus.bundle, cert, key }
    const child = spawn(program('bundle'), ['serve', await jsonFile(t, order)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    t.after(async () => {
      const ended = once(child, 'exit')
      child.stdin.end()
      await ended
    })
    const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
    return `https://localhost:${(JSON.parse(line) as { port: number }).port}/any/path`
  }

  const spiffeRelation = async (
    t: TestContext,
    endpointUrl: string,
    change: object = {},
  ): Promise<object> => ({
    trustDomain: corpus.trustDomain,
    endpointUrl,
    profile: 'https_spiffe',
    endpointSpiffeId: `spiffe://${corpus.trustDomain}/workload`,
    bundleFile: await fileWith(t, JSON.stringify({ ...corpus.bundle, spiffe_sequence: 6 })),
    ...change,
  })

  for (const name of [
    'under the root',
    'under an rsa root',
    'under two intermediates',
    'under a constrained intermediate',
  ])
    it(`by https_spiffe, from an SVID ${name}`, async (t) => {
      const { cert = '', key = '' } = corpus.svids.find((one) => one.name === name) ?? {}
      const relations = [await spiffeRelation(t, await serve(t, cert, key))]
      const made = await fetched(await openTestFederation(t, { relations }))
      assert.deepEqual(statusOf(made), { sequence: '7', x509: 2, failing: null })
    })

  it('by https_web', async (t) => {
    const leaf = webServer('localhost')
    const cert = certificatesToPem([leaf.der])
    const endpointUrl = await serve(t, cert, leaf.key.export({ type: 'pkcs8', format: 'pem' }).toString())
    const caFile = await fileWith(t, certificatesToPem([webCa.der]))
    const relations = [{ trustDomain: corpus.trustDomain, endpointUrl, profile: 'https_web', caFile }]
    const made = await fetched(await openTestFederation(t, { relations }))
    assert.deepEqual(statusOf(made), { sequence: '7', x509: 2, failing: null })
  })

  it('but not from another SVID, nor under a bundle without its root', async (t) => {
    const { cert = '', key = '' } = corpus.svids.find((one) => one.name === 'under the root') ?? {}
    const url = await serve(t, cert, key)
    const stranger = foreignCa(FOREIGN, { at: NOW })
    const bends = [
      { endpointSpiffeId: `spiffe://${corpus.trustDomain}/other` },
      { bundleFile: await fileWith(t, bundleText([x509Jwk(stranger)])) },
    ]
    for (const change of bends) {
      const relations = [await spiffeRelation(t, url, change)]
      const made = await fetched(await openTestFederation(t, { relations }))
      assert.equal(statusOf(made).failing, 'ZT-401-FEDERATION')
    }
  })
})
