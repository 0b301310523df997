// A real nats-server under a throw-away authority, for tests: certificates of the real time, since a foreign program
// checks them too.
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Channel } from '#shared/host/channel.ts'
import { systemClock } from '#shared/host/clock.ts'
import { silentLogger } from '#shared/host/logger.ts'
import { connectNats, type NatsChannelOptions } from '#shared/host/nats-channel.ts'
import type { Identity } from '#shared/identity/identity.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { generateNkey, type Nkey } from '#shared/nats/nkeys.ts'
import { startBroker, type Broker, type BrokerOptions } from '#hub/nats/broker.ts'
import type { SealedStore } from '#hub/nats/state.ts'
import { freePort } from '#ops/demo/free-port.ts'
import { createTestAuthority, type TestAuthority } from './test-authority.ts'

export const NATS_BINARY: string = join(import.meta.dirname, '..', '..', '.tools', 'bin', 'nats-server')
export const TRUST_DOMAIN = 'mesh.example'

/** The reason to skip, if nats-server is not there; CI fails on skipped tests. */
export const needsNats: string | false = existsSync(NATS_BINARY) ? false : 'needs nats-server: run make tools'

export class MemoryStore implements SealedStore {
  bytes: Uint8Array | undefined
  full = false

  load(): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.bytes)
  }

  save(bytes: Uint8Array): Promise<void> {
    if (this.full) return Promise.reject(new Error('disk full'))
    this.bytes = bytes
    return Promise.resolve()
  }
}

/** Waits until `holds`, at most 10 s. */
export async function eventually(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`did not happen in 10 s: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

export interface User {
  readonly identity: Identity
  readonly key: Nkey
  readonly jwt: string
}

export class TestMesh {
  readonly authority: TestAuthority
  readonly options: BrokerOptions
  readonly store: MemoryStore
  broker: Broker
  readonly #test: TestContext

  constructor(
    test: TestContext,
    authority: TestAuthority,
    started: { options: BrokerOptions; store: MemoryStore; broker: Broker },
  ) {
    this.#test = test
    this.authority = authority
    this.options = started.options
    this.store = started.store
    this.broker = started.broker
  }

  /** An identity for `path` with a user JWT of the broker, both ending `lifeMs` from now. */
  async user(path: string, lifeMs: number = 120_000): Promise<User> {
    const identity = await this.authority.identity(path, { notAfter: Date.now() + lifeMs })
    const key = generateNkey('user')
    const jwt = this.broker.userJwt({ id: identity.id, publicKey: key.publicKey, expires: identity.notAfter })
    return { identity, key, jwt }
  }

  /** A channel of `user`, closed after the test. */
  async connect(user: User, changes: Partial<NatsChannelOptions> = {}): Promise<Channel> {
    const channel = await connectNats({
      servers: [`127.0.0.1:${this.options.port}`],
      identity: user.identity,
      credentials: { jwt: user.jwt, key: user.key },
      trust: this.options.trust,
      expectServer: this.options.serverId,
      clock: systemClock,
      log: silentLogger,
      ...changes,
    })
    this.#test.after(() => channel.close())
    return channel
  }

  async channel(path: string): Promise<Channel> {
    return this.connect(await this.user(path))
  }
}

/** A broker on a port and in a folder of its own, ended after the test. */
export async function testMesh(test: TestContext): Promise<TestMesh> {
  const authority = await createTestAuthority(TRUST_DOMAIN, Date.now())
  const store = new MemoryStore()
  const dir = await mkdtemp(join(tmpdir(), 'ztmesh-nats-'))
  const options: BrokerOptions = {
    binary: NATS_BINARY,
    dir: join(dir, 'run'),
    host: '127.0.0.1',
    port: await freePort(),
    serverId: parseSpiffeId(`spiffe://${TRUST_DOMAIN}/nats/h1`),
    certificate: await authority.identity('/nats/h1'),
    trust: authority.validator(),
    identity: await authority.identity('/hub/h1'),
    store,
    clock: systemClock,
    log: silentLogger,
  }
  const broker = await startBroker(options)
  const mesh = new TestMesh(test, authority, { options, store, broker })
  // In this order: a server that still runs would write into a folder that is being removed.
  test.after(async () => {
    await mesh.broker.close()
    await rm(dir, { recursive: true, force: true })
  })
  return mesh
}
