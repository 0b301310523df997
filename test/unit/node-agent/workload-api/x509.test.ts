// The X.509 profile of the SPIFFE Workload API, as a client sees it: items 35 to 40 of the checklist.
import assert from 'node:assert/strict'
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto'
import { statSync } from 'node:fs'
import { describe, it } from 'node:test'
import { status } from '@grpc/grpc-js'
import { ZtError } from '#shared/errors/error.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { parseCertificate } from '#shared/x509/certificate.ts'
import { buildBundleDocument } from '#shared/spiffe/bundle-document.ts'
import { socketOf } from '#node-agent/workload-api/place.ts'
import { eventually } from '#test/support/eventually.ts'
import { makeTestPki } from '#test/support/test-pki.ts'
import { decode, type Received, type Svid } from '#test/support/workload-client.ts'
import { WorkloadFixture } from '#test/support/workload-fixture.ts'

const message = (stream: Received, count: number): Promise<Uint8Array> =>
  eventually(`message ${count}`, () => stream.messages[count - 1])
const codeOf = (stream: Received): Promise<number> =>
  eventually('the end of the stream', () => stream.ended?.code)
const svidOf = (bytes: Uint8Array): Svid => {
  const { svids } = decode('X509SVIDResponse', bytes) as { svids: Svid[] }
  assert.equal(svids.length, 1)
  const [svid] = svids
  assert.ok(svid !== undefined)
  return svid
}

/** The certificates of concatenated DER. */
function certificatesOf(der: Uint8Array): Uint8Array[] {
  const found: Uint8Array[] = []
  for (let at = 0; at < der.length;) {
    const { raw } = new X509Certificate(der.subarray(at))
    found.push(new Uint8Array(raw))
    at += raw.length
  }
  return found
}

describe('FetchX509SVID', () => {
  it('gives the SVID at once: leaf first, its key as PKCS#8, and the roots', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { proc, client } = await fixture.begin(t)
    const svid = svidOf(await message(client.stream('FetchX509SVID'), 1))
    const chain = certificatesOf(svid.x509Svid)
    const proved = new SvidValidator(fixture.pki.bundle).validate(chain, fixture.clock.now())
    assert.equal(proved.id, `spiffe://mesh.example/agent/reports/task/${proc}`)
    assert.equal(svid.spiffeId, proved.id)
    const key = createPrivateKey({ key: Buffer.from(svid.x509SvidKey), format: 'der', type: 'pkcs8' })
    assert.ok(createPublicKey(key).equals(proved.publicKey))
    assert.deepEqual(certificatesOf(svid.bundle), [new Uint8Array(fixture.pki.root.certificate.der)])
    assert.equal(svid.hint, '')
  })

  it('gives the whole state again when the SVID is renewed, before half of its life is over', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { client } = await fixture.begin(t)
    const stream = client.stream('FetchX509SVID')
    const first = svidOf(await message(stream, 1))
    fixture.clock.advance(100_000)
    assert.equal(fixture.hub.count('task.svid'), 1)
    fixture.clock.advance(20_001)
    const second = svidOf(await message(stream, 2))
    assert.equal(second.spiffeId, first.spiffeId)
    assert.notDeepEqual(second.x509Svid, first.x509Svid)
    assert.notDeepEqual(second.x509SvidKey, first.x509SvidKey)
    assert.deepEqual(second.bundle, first.bundle)
  })

  it('gives the bundles of others, by trust domain, and again when they change or go', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const other = await makeTestPki({ trustDomain: 'other.example', now: fixture.clock.now() })
    const { client } = await fixture.begin(t)
    const stream = client.stream('FetchX509SVID')
    const federated = (bytes: Uint8Array): unknown => decode('X509SVIDResponse', bytes)['federatedBundles']
    assert.deepEqual(federated(await message(stream, 1)), {})
    const { trustDomain, bundle } = other
    const document = buildBundleDocument({
      trustDomain,
      roots: bundle.roots,
      jwt: [],
      sequence: 1,
      refreshHint: 1,
    })
    fixture.hub.foreign.push({ td: trustDomain, document })
    fixture.clock.advance(15_000)
    assert.deepEqual(federated(await message(stream, 2)), {
      'spiffe://other.example': Buffer.from(other.root.certificate.der),
    })
    fixture.hub.foreign.pop()
    fixture.clock.advance(15_000)
    assert.deepEqual(federated(await message(stream, 3)), {})
  })

  it('says nothing where nothing changed', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { client } = await fixture.begin(t)
    const stream = client.stream('FetchX509SVID')
    await message(stream, 1)
    for (let look = 0; look < 3; look += 1) {
      const before = fixture.hub.count('bundles')
      fixture.clock.advance(15_000)
      await eventually('the next look', () => fixture.hub.count('bundles') > before || undefined)
      await new Promise(setImmediate)
    }
    assert.equal(stream.messages.length, 1)
  })

  it('asks the hub once for many streams, and no more when nobody watches', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { client } = await fixture.begin(t)
    const streams = Array.from({ length: 15 }, () => client.stream('FetchX509SVID'))
    await Promise.all(streams.map((stream) => message(stream, 1)))
    assert.equal(fixture.hub.count('task.svid'), 1)
    for (const stream of streams) stream.cancel()
    await Promise.all(streams.map(codeOf))
    // The server hears of the last cancellation some time after the client did.
    await eventually('quiet', async () => {
      const before = fixture.hub.asked.length
      fixture.clock.advance(15_000)
      await new Promise(setImmediate)
      return fixture.hub.asked.length === before || undefined
    })
  })

  const codes = {
    'ZT-403-TASK': status.PERMISSION_DENIED,
    'ZT-403-REVOKED': status.PERMISSION_DENIED,
    'ZT-401-EVIDENCE': status.PERMISSION_DENIED,
    'ZT-503-NATS': status.UNAVAILABLE,
    'ZT-503-LADDER': status.UNAVAILABLE,
  } as const
  for (const [code, expected] of Object.entries(codes))
    it(`answers ${status[expected]} when the hub says ${code}`, async (t) => {
      const fixture = await WorkloadFixture.create(t)
      const { client } = await fixture.begin(t)
      fixture.hub.failure = new ZtError(code as keyof typeof codes, 'no')
      for (const method of ['FetchX509SVID', 'FetchX509Bundles', 'FetchJWTBundles']) {
        const stream = client.stream(method)
        assert.equal(await codeOf(stream), expected)
        assert.deepEqual(stream.messages, [])
      }
    })

  it('goes on with the SVID that it has while the hub does not answer, and renews it after', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { client } = await fixture.begin(t)
    const stream = client.stream('FetchX509SVID')
    await message(stream, 1)
    fixture.hub.failure = new ZtError('ZT-503-NATS', 'the node is not connected')
    fixture.clock.advance(125_000)
    await eventually('a try', () => fixture.hub.count('task.svid') > 1 || undefined)
    assert.equal(svidOf(await message(client.stream('FetchX509SVID'), 1)).hint, '')
    fixture.hub.failure = undefined
    await eventually('the renewed SVID', () => {
      fixture.clock.advance(1000)
      return stream.messages[1]
    })
    assert.equal(stream.ended, undefined)
  })

  it('ends its streams when the hub refuses the task, and serves again when it no longer does', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { client } = await fixture.begin(t)
    const stream = client.stream('FetchX509SVID')
    await message(stream, 1)
    fixture.hub.failure = new ZtError('ZT-403-REVOKED', 'revoked')
    fixture.clock.advance(125_000)
    assert.equal(await codeOf(stream), status.PERMISSION_DENIED)
    fixture.hub.failure = undefined
    fixture.clock.advance(2000)
    await message(client.stream('FetchX509SVID'), 1)
  })

  it('gives another SVID at once when the one that it gave holds no longer', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { client } = await fixture.begin(t)
    const stream = client.stream('FetchX509SVID')
    const before = svidOf(await message(stream, 1))
    const { bundle, workload } = fixture.pki
    const revokedIntermediates = [workload.certificate.keyId]
    fixture.trust.replaceBundle({ ...bundle, sequence: 2, revokedIntermediates })
    fixture.trust.replaceBundle({ ...bundle, sequence: 3 })
    fixture.api.bundleChanged()
    await new Promise(setImmediate)
    assert.equal(fixture.hub.count('task.svid'), 1)
    fixture.trust.replaceBundle({ ...bundle, sequence: 4, revokedIntermediates })
    fixture.api.bundleChanged()
    fixture.clock.advance(0)
    // What the hub gives under the revoked intermediate is not handed on; under another one it would be.
    await eventually('the question', () => fixture.hub.count('task.svid') > 1 || undefined)
    fixture.trust.replaceBundle({ ...bundle, sequence: 5 })
    const after = await eventually('the next SVID', () => {
      fixture.clock.advance(1000)
      return stream.messages[1]
    })
    assert.notDeepEqual(svidOf(after).x509Svid, before.x509Svid)
  })

  const lies: Record<string, (fixture: WorkloadFixture) => void> = {
    'another task': ({ hub }) => (hub.task = 'p-aaaaaaaaaaaaaaaaaaaa'),
    'another agent': ({ hub }) => (hub.agent = 'payments'),
  }
  for (const [what, lie] of Object.entries(lies))
    it(`hands on no SVID that the hub made for ${what}`, async (t) => {
      const fixture = await WorkloadFixture.create(t)
      const { client } = await fixture.begin(t)
      lie(fixture)
      const stream = client.stream('FetchX509SVID')
      assert.equal(await codeOf(stream), status.UNAVAILABLE)
      assert.deepEqual(stream.messages, [])
    })
})

describe('FetchX509Bundles', () => {
  it('gives the roots of all trust domains, ours too, and again after a change', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { client } = await fixture.begin(t)
    const stream = client.stream('FetchX509Bundles')
    const own = Buffer.from(fixture.pki.root.certificate.der)
    const bundlesOf = (bytes: Uint8Array): unknown => decode('X509BundlesResponse', bytes)['bundles']
    assert.deepEqual(bundlesOf(await message(stream, 1)), { 'spiffe://mesh.example': own })
    assert.equal(parseCertificate(new Uint8Array(own)).isCa, true)
  })
})

describe('the socket of the Workload API', () => {
  it('is for one user alone', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { proc } = await fixture.begin(t)
    assert.equal(statSync(socketOf(fixture.workspaceRoot, proc)).mode & 0o777, 0o600)
  })

  const headers: Record<string, Record<string, string>> = {
    'no header': {},
    'another value': { 'workload.spiffe.io': 'TRUE' },
    'an empty value': { 'workload.spiffe.io': '' },
  }
  for (const [what, header] of Object.entries(headers))
    it(`answers InvalidArgument to a request with ${what}`, async (t) => {
      const fixture = await WorkloadFixture.create(t)
      const { client } = await fixture.begin(t)
      for (const method of ['FetchX509SVID', 'FetchX509Bundles', 'FetchJWTBundles'])
        assert.equal(await codeOf(client.stream(method, { header })), status.INVALID_ARGUMENT)
      for (const method of ['FetchJWTSVID', 'ValidateJWTSVID'])
        await assert.rejects(client.unary(method, new Uint8Array(), header), {
          code: status.INVALID_ARGUMENT,
        })
      assert.deepEqual(fixture.hub.asked, [])
    })

  it('answers Unimplemented to what it does not have, such as the WIT profile', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { client } = await fixture.begin(t)
    for (const method of ['FetchWITSVID', 'FetchWITBundles', 'Other'])
      assert.equal(await codeOf(client.stream(method)), status.UNIMPLEMENTED)
  })

  it('answers InvalidArgument to bytes that are no message', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { client } = await fixture.begin(t)
    const stream = client.stream('FetchX509SVID', { request: Buffer.from('0a', 'hex') })
    assert.equal(await codeOf(stream), status.INVALID_ARGUMENT)
  })

  it('takes 32 streams of a task, and no more', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { proc } = await fixture.begin(t)
    const clients = [1, 2, 3].map(() => fixture.connect(t, proc))
    const streams = clients.flatMap((client) =>
      Array.from({ length: 11 }, () => client.stream('FetchX509Bundles')),
    )
    const refused = await eventually('one refusal', () => {
      const ended = streams.filter((stream) => stream.ended !== undefined)
      const served = streams.filter((stream) => stream.messages.length > 0)
      return ended.length === 1 && served.length === 32 ? ended : undefined
    })
    for (const { ended } of refused) assert.equal(ended?.code, status.RESOURCE_EXHAUSTED)
  })

  it('takes 8 connections of a task, and no more', async (t) => {
    const fixture = await WorkloadFixture.create(t)
    const { proc } = await fixture.begin(t)
    const clients = Array.from({ length: 9 }, () => fixture.connect(t, proc))
    const streams = clients.map((client) => client.stream('FetchX509Bundles'))
    const refused = await eventually('one refusal', () =>
      streams.find((stream) => stream.ended !== undefined),
    )
    assert.equal(refused.ended?.code, status.UNAVAILABLE)
    await eventually(
      'the others',
      () => streams.filter(({ messages }) => messages.length > 0).length === 8 || undefined,
    )
  })
})
