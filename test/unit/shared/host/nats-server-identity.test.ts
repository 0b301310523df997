// A client says nothing to a server that is not the expected one, whatever certificate of the mesh it has.
import assert from 'node:assert/strict'
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import { createServer as createTlsServer } from 'node:tls'
import { systemClock } from '#shared/host/clock.ts'
import { silentLogger } from '#shared/host/logger.ts'
import { connectNats } from '#shared/host/nats-channel.ts'
import type { Identity } from '#shared/identity/identity.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { generateNkey } from '#shared/nats/nkeys.ts'
import { certificatesToPem } from '#shared/x509/pem.ts'
import { createTestAuthority, type TestAuthority } from '#test/support/test-authority.ts'

const EXPECTED = parseSpiffeId('spiffe://mesh.example/nats/h1')
const INFO = `INFO ${JSON.stringify({ server_id: 'N', version: '2.15.2', proto: 1, headers: true, max_payload: 1024, auth_required: true, tls_required: true, nonce: 'abcdefghijk' })}\r\n`
const JWT = 'the-user-jwt'

interface Listener {
  readonly port: number
  /** application data that the client sent */
  readonly received: () => string
}

async function listen(test: TestContext, server: Server, received: () => string): Promise<Listener> {
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  test.after(() => server.close())
  return { port: (server.address() as AddressInfo).port, received }
}

/** Speaks TLS with `identity`, then greets as nats-server does. */
function impostor(
  test: TestContext,
  identity: Identity,
  maxVersion: 'TLSv1.2' | 'TLSv1.3',
): Promise<Listener> {
  const chunks: Buffer[] = []
  const server = createTlsServer(
    {
      cert: certificatesToPem(identity.chain),
      key: identity.key.export({ format: 'pem', type: 'pkcs8' }),
      requestCert: true,
      rejectUnauthorized: false,
      maxVersion,
    },
    (socket: Socket) => {
      socket.on('data', (chunk) => chunks.push(chunk)).on('error', () => undefined)
      socket.write(INFO)
    },
  )
  server.on('tlsClientError', () => undefined)
  return listen(test, server, () => Buffer.concat(chunks).toString())
}

/** Greets in the clear, as a nats-server without TLS, and keeps all bytes. */
function plain(test: TestContext): Promise<Listener> {
  const chunks: Buffer[] = []
  const server = createTcpServer((socket) => {
    socket.on('data', (chunk) => chunks.push(chunk)).on('error', () => undefined)
    socket.write(INFO.replace('"tls_required":true', '"tls_required":false'))
  })
  return listen(test, server, () => Buffer.concat(chunks).toString('latin1'))
}

async function attempt(authority: TestAuthority, port: number): Promise<unknown> {
  return connectNats({
    servers: [`127.0.0.1:${port}`],
    identity: await authority.identity('/node/n1'),
    credentials: { jwt: JWT, key: generateNkey('user') },
    trust: authority.validator(),
    expectServer: EXPECTED,
    clock: systemClock,
    log: silentLogger,
    connectTimeoutMs: 2_000,
  })
}

describe('the identity of a nats server', () => {
  const paths: Record<string, string> = {
    'another nats server of the mesh': '/nats/h2',
    'a node of the mesh': '/node/n1',
    'the hub of the mesh': '/hub/h1',
    'a longer name': '/nats/h1/more',
    'another case': '/nats/H1',
  }
  for (const [what, path] of Object.entries(paths)) {
    it(`refuses ${what}, and tells it nothing`, async (test) => {
      const authority = await createTestAuthority('mesh.example', Date.now())
      const server = await impostor(test, await authority.identity(path), 'TLSv1.3')
      await assert.rejects(attempt(authority, server.port), { code: 'ZT-401-CERT' })
      assert.equal(server.received(), '')
    })
  }

  it('refuses the right name under another root, and tells it nothing', async (test) => {
    const now = Date.now()
    const [ours, theirs] = [
      await createTestAuthority('mesh.example', now),
      await createTestAuthority('mesh.example', now),
    ]
    const server = await impostor(test, await theirs.identity('/nats/h1'), 'TLSv1.3')
    await assert.rejects(attempt(ours, server.port), { code: 'ZT-401-CERT' })
    assert.equal(server.received(), '')
  })

  it('refuses the right name of another trust domain', async (test) => {
    const now = Date.now()
    const [ours, theirs] = [
      await createTestAuthority('mesh.example', now),
      await createTestAuthority('other.example', now),
    ]
    const server = await impostor(test, await theirs.identity('/nats/h1'), 'TLSv1.3')
    await assert.rejects(attempt(ours, server.port), { code: 'ZT-401-CERT' })
    assert.equal(server.received(), '')
  })

  const lives: Record<string, { notBefore?: number; notAfter?: number }> = {
    expired: { notAfter: Date.now() - 1_000 },
    'not yet valid': { notBefore: Date.now() + 60_000, notAfter: Date.now() + 120_000 },
  }
  for (const [what, life] of Object.entries(lives)) {
    it(`refuses a certificate that is ${what}, and tells it nothing`, async (test) => {
      const authority = await createTestAuthority('mesh.example', Date.now())
      const server = await impostor(test, await authority.identity('/nats/h1', life), 'TLSv1.3')
      await assert.rejects(attempt(authority, server.port), { code: 'ZT-401-CERT' })
      assert.equal(server.received(), '')
    })
  }

  it('refuses a server without its intermediate', async (test) => {
    const authority = await createTestAuthority('mesh.example', Date.now())
    const identity = await authority.identity('/nats/h1')
    const server = await impostor(test, { ...identity, chain: identity.chain.slice(0, 1) }, 'TLSv1.3')
    await assert.rejects(attempt(authority, server.port), { code: 'ZT-401-CERT' })
    assert.equal(server.received(), '')
  })

  it('refuses TLS 1.2', async (test) => {
    const authority = await createTestAuthority('mesh.example', Date.now())
    const server = await impostor(test, await authority.identity('/nats/h1'), 'TLSv1.2')
    await assert.rejects(attempt(authority, server.port), { code: 'ZT-503-NATS' })
    assert.equal(server.received(), '')
  })

  it('refuses a server without TLS, and tells it nothing but the start of a handshake', async (test) => {
    const authority = await createTestAuthority('mesh.example', Date.now())
    const server = await plain(test)
    await assert.rejects(attempt(authority, server.port), { code: 'ZT-503-NATS' })
    assert.ok(!server.received().includes('CONNECT') && !server.received().includes(JWT))
  })

  it('refuses a port where nobody listens', async () => {
    const authority = await createTestAuthority('mesh.example', Date.now())
    await assert.rejects(attempt(authority, 1), { code: 'ZT-503-NATS' })
  })

  it('gives its credentials to the expected server only: the same impostor with the right name gets them', async (test) => {
    const authority = await createTestAuthority('mesh.example', Date.now())
    const server = await impostor(test, await authority.identity('/nats/h1'), 'TLSv1.3')
    await assert.rejects(attempt(authority, server.port), { code: 'ZT-503-NATS' })
    assert.ok(server.received().startsWith('CONNECT ') && server.received().includes(JWT))
  })
})
