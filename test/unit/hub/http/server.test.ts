// The front door: what it lets nobody do, over real TLS.
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { Agent, request } from 'node:https'
import { connect as dialTcp } from 'node:net'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { afterEach, before, beforeEach, describe, it } from 'node:test'
import { jsonResponse, type Route } from '#hub/http/exchange.ts'
import { startHttpServer, type HttpServer, type TlsMaterial } from '#hub/http/server.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { createLogger } from '#shared/host/logger.ts'
import type { Identity } from '#shared/identity/identity.ts'
import { DenyList } from '#shared/protocol/deny-list.ts'
import type { SvidValidator } from '#shared/x509/svid.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { eventually } from '#test/support/eventually.ts'
import { createTestAuthority, type TestAuthority } from '#test/support/test-authority.ts'

// The real time: OpenSSL looks at these certificates too, and must not decide what is served.
const NOW = Date.now()
const pem = (der: Uint8Array): string => new X509Certificate(der).toString()
const material = (identity: Identity, length = 2): { cert: string; key: string } => ({
  cert: identity.chain.slice(0, length).map(pem).join(''),
  key: identity.key.export({ type: 'pkcs8', format: 'pem' }).toString(),
})

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: Record<string, unknown>
}

const ROUTES: readonly Route[] = [
  { method: 'GET', path: '/open', handle: async () => jsonResponse({ ok: true }) },
  { method: 'GET', path: '/who', handle: async (call) => jsonResponse({ id: call.client().id }) },
  {
    method: 'POST',
    path: '/echo',
    accepts: 'application/json',
    handle: async (call) => jsonResponse({ bytes: call.body.length }),
  },
  {
    method: 'POST',
    path: '/large',
    accepts: 'application/json',
    maxBytes: 64 * 1024 + 1,
    handle: async (call) => jsonResponse({ bytes: call.body.length }),
  },
  {
    method: 'GET',
    path: '/deny',
    handle: async (call) => {
      call.client()
      throw new ZtError('ZT-400-MALFORMED', 'form: no')
    },
  },
  {
    method: 'GET',
    path: '/fault',
    handle: () => Promise.reject(new Error('the secret is in /etc/shadow')),
  },
  {
    method: 'GET',
    path: '/refuse',
    handle: () => Promise.reject(new ZtError('ZT-403-POLICY', 'no', { details: { reason: 'x' } })),
  },
]

describe('the https server', () => {
  let authority: TestAuthority
  let tls: TlsMaterial
  let alice: Identity
  let clock: ManualClock
  let trust: SvidValidator
  let deny: DenyList
  let server: HttpServer
  const lines: string[] = []
  const refused: { readonly path: string; readonly id: string | undefined; readonly code: string }[] = []

  before(async () => {
    authority = await createTestAuthority('mesh.example', NOW)
    tls = material(await authority.identity('/hub/h1'))
    alice = await authority.identity('/operator/alice')
  })
  beforeEach(async () => {
    clock = new ManualClock(NOW)
    trust = authority.validator()
    deny = new DenyList()
    lines.length = 0
    refused.length = 0
    server = await startHttpServer({
      listen: { host: '127.0.0.1', port: 0 },
      tls,
      routes: ROUTES,
      clock,
      log: createLogger({ name: 'hub', destination: { write: (line) => void lines.push(line) } }),
      authenticate: (chain) => {
        const svid = trust.validate(chain, clock.now())
        deny.check(svid)
        return svid
      },
      refused: async ({ path, caller }, error) =>
        void refused.push({ path, id: caller?.id, code: isZtError(error) ? error.code : 'none' }),
    })
  })
  const agents: Agent[] = []
  afterEach(async () => {
    for (const agent of agents.splice(0)) agent.destroy()
    const closed = server.close()
    clock.advance(5000)
    await closed
  })

  const call = (path: string, options: object = {}, body?: string): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const outgoing = request(
        { host: '127.0.0.1', port: server.port, path, rejectUnauthorized: false, agent: false, ...options },
        (incoming) => {
          const chunks: Buffer[] = []
          incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
          incoming.on('error', reject)
          incoming.on('end', () =>
            resolve({
              status: incoming.statusCode ?? 0,
              headers: incoming.headers,
              body: JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>,
            }),
          )
        },
      )
      outgoing.on('error', reject)
      outgoing.end(body)
    })
  const post = { method: 'POST', headers: { 'content-type': 'application/json' } }
  const dial = (options: ConnectionOptions = {}): TLSSocket =>
    connect({ host: '127.0.0.1', port: server.port, rejectUnauthorized: false, ...options })

  it('tells a client with an SVID who it is', async () => {
    assert.equal((await call('/who', material(alice))).body['id'], alice.id)
  })

  it('sends headers that keep answers out of caches and pages', async () => {
    const { headers } = await call('/open')
    assert.equal(headers['cache-control'], 'no-store')
    assert.equal(headers['x-content-type-options'], 'nosniff')
    assert.match(String(headers['content-security-policy']), /default-src 'none'/)
    assert.equal(headers['x-powered-by'] ?? headers['server'], undefined)
  })

  it('refuses TLS 1.2', async () => {
    const [error] = (await once(dial({ maxVersion: 'TLSv1.2' }), 'error')) as [NodeJS.ErrnoException]
    assert.match(String(error.code), /PROTOCOL_VERSION|ECONNRESET/)
  })

  it('cuts off a resumed session before it serves anything', async () => {
    const first = dial(material(alice))
    const [session] = (await once(first, 'session')) as [Buffer]
    first.destroy()
    const second = dial({ ...material(alice), session })
    await once(second, 'secureConnect')
    assert.equal(second.isSessionReused(), true)
    second.on('error', () => undefined)
    const chunks: Buffer[] = []
    second.on('data', (chunk: Buffer) => chunks.push(chunk))
    second.write('GET /open HTTP/1.1\r\nhost: x\r\n\r\n')
    await once(second, 'close')
    assert.equal(Buffer.concat(chunks).toString(), '')
  })

  const live = (): { agent: Agent } => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1, maxCachedSessions: 0, ...material(alice) })
    agents.push(agent)
    return { agent }
  }

  it('refuses a client certificate that expires on a live connection', async () => {
    const options = live()
    assert.equal((await call('/who', options)).status, 200)
    clock.advance(3 * 60_000 + 1000)
    const answer = await call('/who', options)
    assert.deepEqual([answer.status, answer.body['code']], [401, 'ZT-401-CERT'])
  })

  it('refuses an identity that is revoked on a live connection', async () => {
    const options = live()
    assert.equal((await call('/who', options)).status, 200)
    const entry = { kind: 'id', value: alice.id, from: 0, reason: 'lost' } as const
    deny.replace({ v: 1, iss: alice.id, ver: 1, iat: 0, entries: [entry] })
    const answer = await call('/who', options)
    assert.deepEqual([answer.status, answer.body['code']], [403, 'ZT-403-REVOKED'])
  })

  const strangers: Record<string, () => Promise<object>> = {
    'no certificate': async () => ({}),
    'a leaf without its intermediate': async () => material(alice, 1),
    'an SVID of a foreign root': async () => {
      const foreign = await createTestAuthority('mesh.example', NOW)
      return material(await foreign.identity('/operator/alice'))
    },
    'an SVID of another trust domain': async () => {
      const foreign = await createTestAuthority('other.example', NOW)
      return material(await foreign.identity('/operator/alice'))
    },
    'an expired SVID': async () =>
      material(await authority.identity('/operator/alice', { notAfter: NOW - 1000 })),
    'an SVID that is not valid yet': async () =>
      material(await authority.identity('/operator/alice', { notBefore: NOW + 1000 })),
  }
  for (const [what, options] of Object.entries(strangers))
    it(`refuses a client with ${what}`, async () => {
      const answer = await call('/who', await options())
      assert.deepEqual([answer.status, answer.body['code']], [401, 'ZT-401-CERT'])
    })

  it('refuses a body over 64 KiB', async () => {
    const answer = await call('/echo', post, 'x'.repeat(64 * 1024 + 1))
    assert.deepEqual([answer.status, answer.body['code']], [413, 'ZT-413-SIZE'])
  })

  it('takes a body of 64 KiB', async () => {
    assert.equal((await call('/echo', post, 'x'.repeat(64 * 1024))).body['bytes'], 64 * 1024)
  })

  const types: Record<string, string> = {
    'a form': 'application/x-www-form-urlencoded',
    'text that a page could send': 'text/plain',
    'another character set': 'application/json; charset=utf-16',
  }
  for (const [what, type] of Object.entries(types))
    it(`refuses ${what} where JSON is due`, async () => {
      const answer = await call('/echo', { ...post, headers: { 'content-type': type } }, '{}')
      assert.deepEqual([answer.status, answer.body['code']], [400, 'ZT-400-MALFORMED'])
    })

  it('answers an unknown path with 404 and a wrong method with 405', async () => {
    assert.equal((await call('/nothing')).status, 404)
    assert.equal((await call('/open?x=1')).status, 404)
    assert.equal((await call('/echo')).status, 405)
  })

  it('tells a refusal by its code, its details and the id of the request', async () => {
    const { status, body, headers } = await call('/refuse')
    assert.equal(status, 403)
    assert.deepEqual(body, {
      code: 'ZT-403-POLICY',
      message: 'no',
      requestId: headers['zt-request-id'],
      details: { reason: 'x' },
    })
  })

  it('lets nothing of an unexpected fault out, and logs it under the id of the request', async () => {
    const { body } = await call('/fault')
    assert.deepEqual([body['code'], body['message']], ['ZT-500-INTERNAL', 'internal error'])
    assert.ok(lines.some((line) => line.includes(String(body['requestId'])) && line.includes('/etc/shadow')))
  })

  it('reports every request that fails, with who sent it if that is proved, before it answers', async () => {
    await call('/who')
    await call('/deny', material(alice))
    await call('/echo', post, 'x'.repeat(64 * 1024 + 1))
    assert.deepEqual(refused, [
      { path: '/who', id: undefined, code: 'ZT-401-CERT' },
      { path: '/deny', id: alice.id, code: 'ZT-400-MALFORMED' },
      { path: '/echo', id: undefined, code: 'ZT-413-SIZE' },
    ])
  })

  it('slows one address down that asks too much', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 4, maxCachedSessions: 0 })
    agents.push(agent)
    const statuses = await Promise.all(
      Array.from({ length: 620 }, async () => (await call('/open', { agent })).status),
    )
    assert.equal(statuses.filter((status) => status === 429).length, 20)
  })

  it('takes fewer large bodies of one address than small ones', async () => {
    const statusOf = async (bytes: number): Promise<number> =>
      (await call('/large', post, 'x'.repeat(bytes))).status
    const large = 64 * 1024 + 1
    for (let i = 0; i < 20; i += 1) assert.equal(await statusOf(large), 200)
    assert.equal(await statusOf(large), 429)
    assert.equal(await statusOf(64 * 1024), 200)
    clock.advance(1000)
    for (let i = 0; i < 5; i += 1) assert.equal(await statusOf(large), 200)
    assert.equal(await statusOf(large), 429)
  })

  it('holds no more than 256 connections of one address, and takes one more when one ends', async () => {
    const sockets = await Promise.all(
      Array.from({ length: 256 }, async () => {
        const socket = dialTcp(server.port, '127.0.0.1')
        await once(socket, 'connect')
        return socket
      }),
    )
    await assert.rejects(call('/open'))
    sockets[0]?.destroy()
    await eventually('a place is free', () => call('/open').catch(() => undefined))
    for (const socket of sockets) socket.destroy()
  })

  it('shows new connections the certificate of the day', async () => {
    const next = await authority.identity('/hub/h1')
    server.setTls(material(next))
    const socket = dial()
    await once(socket, 'secureConnect')
    assert.deepEqual(new Uint8Array(socket.getPeerCertificate().raw), next.chain[0])
    socket.destroy()
  })
})
