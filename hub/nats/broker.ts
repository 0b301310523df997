// The hub's broker as the rest of the hub sees it: one nats-server, the authority over who may connect to it, and the
// connection to the system account by which a revocation reaches the server at once. That connection stays in here.
import { ZtError, isZtError } from '#shared/errors/error.ts'
import type { Channel } from '#shared/host/channel.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'
import { connectNats } from '#shared/host/nats-channel.ts'
import type { Identity } from '#shared/identity/identity.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { generateNkey } from '#shared/nats/nkeys.ts'
import type { SvidValidator } from '#shared/x509/svid.ts'
import {
  openNatsAuthority,
  updateSubject,
  type AccountUpdate,
  type NatsAuthority,
  type UserRequest,
} from './authority.ts'
import type { ServerCertificate } from './probe.ts'
import { reachable, startNatsServer, type NatsServer } from './server.ts'
import type { SealedStore } from './state.ts'

export interface BrokerOptions {
  readonly binary: string
  /** run directory; see NatsServerOptions */
  readonly dir: string
  readonly host: string
  readonly port: number
  /** `spiffe://<td>/nats/<id>`: whose certificate the server has */
  readonly serverId: SpiffeId
  readonly certificate: ServerCertificate
  readonly trust: SvidValidator
  /** the hub's own identity, for its connections */
  readonly identity: Identity
  readonly store: SealedStore
  readonly clock: Clock
  readonly log: Logger
}

// A hub's connection uses a token like everybody's, which lives ten minutes at most.
const LONGEST_MS = 9 * 60_000
const UPDATE_TIMEOUT_MS = 400

/** Starts the server, and connects the hub to its system account. Errors: ZT-503-NATS, ZT-401-CERT, the store's. */
export async function startBroker(options: BrokerOptions): Promise<Broker> {
  const authority = await openNatsAuthority(options)
  const server = await startNatsServer({
    ...options,
    name: options.serverId,
    roots: () => options.trust.bundle.roots.map((root) => root.der),
    accounts: () => authority.accounts(),
  })
  const broker = new Broker(options, authority, server)
  try {
    await broker.renew(options.identity)
    return broker
  } catch (error) {
    await broker.close()
    throw error
  }
}

export class Broker {
  readonly #options: BrokerOptions
  readonly #authority: NatsAuthority
  readonly #server: NatsServer
  #identity: Identity
  #system: Channel | undefined

  constructor(options: BrokerOptions, authority: NatsAuthority, server: NatsServer) {
    this.#options = options
    this.#identity = options.identity
    this.#authority = authority
    this.#server = server
  }

  /** Of the running server, undefined while there is none. */
  get serverPid(): number | undefined {
    return this.#server.pid
  }

  /** See NatsAuthority.userJwt(). */
  userJwt(request: UserRequest): string {
    return this.#authority.userJwt(request)
  }

  /**
   * A channel with the hub's rights, for as long as `identity` is valid and nine minutes at most: the caller makes the
   * next one before, and drains this one. Errors: those of connectNats().
   */
  connect(identity: Identity): Promise<Channel> {
    return this.#connect(identity, (request) => this.#authority.userJwt(request))
  }

  /** Puts the system connection on a new identity of the hub: to be called as often as that is renewed. */
  async renew(identity: Identity): Promise<void> {
    const before = this.#system
    this.#identity = identity
    this.#system = await this.#connect(identity, (request) => this.#authority.systemUserJwt(request))
    await before?.drain()
  }

  /** See NatsServer.setCertificate(); the roots are read from the trust bundle again. */
  setCertificate(certificate: ServerCertificate): Promise<void> {
    return this.#server.setCertificate(certificate)
  }

  /**
   * Revokes every token issued so far to these user keys. When it resolves, that is durable, live connections with them
   * are closed and new ones are refused, also after the server or the hub was started again.
   * A server that does not answer is made to read its files again instead.
   * Errors: those of NatsAuthority.revoke(), with nothing revoked.
   */
  async revoke(publicKeys: readonly string[]): Promise<void> {
    if (publicKeys.length === 0) return
    const update = await this.#authority.revoke(publicKeys)
    await this.#server.writeFiles()
    try {
      await this.#tell(update)
    } catch (cause) {
      if (!isZtError(cause)) throw cause
      this.#options.log.warn('the nats-server was not told of a revocation; it reads its files again', {
        cause,
      })
      await this.#server.reload()
    }
  }

  /** Ends the connection and the server. */
  async close(): Promise<void> {
    await this.#system?.close()
    await this.#server.close()
  }

  async #tell(update: AccountUpdate): Promise<void> {
    if (await this.#push(update)) return
    // A server does not know an account that nobody has used since it started: it skips the update, and would load the
    // older JWT that it started with. So the account is used first.
    const visitor = await this.connect(this.#identity)
    try {
      if (await this.#push(update)) return
      throw new ZtError('ZT-503-NATS', 'the nats-server did not take the account update')
    } finally {
      await visitor.close()
    }
  }

  /** True if the server says that the account's new JWT is in force. */
  async #push(update: AccountUpdate): Promise<boolean> {
    if (this.#system === undefined) throw new ZtError('ZT-503-NATS', 'there is no system connection')
    const { data } = await this.#system.request(updateSubject(update.account), Buffer.from(update.jwt), {
      timeoutMs: UPDATE_TIMEOUT_MS,
      unreachable: 'ZT-503-HUB',
    })
    return isUpdated(data)
  }

  #connect(identity: Identity, issue: (request: UserRequest) => string): Promise<Channel> {
    const { host, port, serverId, trust, clock, log } = this.#options
    const key = generateNkey('user')
    const notAfter = Math.min(identity.notAfter, clock.now() + LONGEST_MS)
    const jwt = issue({ id: identity.id, publicKey: key.publicKey, expires: notAfter })
    const address = reachable(host)
    return connectNats({
      servers: [address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`],
      identity: { ...identity, notAfter },
      credentials: { jwt, key },
      trust,
      expectServer: serverId,
      clock,
      log,
    })
  }
}

/** The answer is `{"server":…,"data":{"account":…,"code":200,"message":…}}`, of code 200 even if it was skipped. */
function isUpdated(answer: Uint8Array): boolean {
  const reply = parseStrictJson(answer, { maxBytes: 16 * 1024 })
  const data = isObject(reply) ? reply['data'] : undefined
  return isObject(data) && data['message'] === 'jwt updated'
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}
