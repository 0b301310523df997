// The channel over a NATS server, with one identity for its whole life: its certificate towards TLS, its user JWT and
// nkey towards NATS. Reconnects by itself until that identity expires; renewal is a second channel, made by the owner.
import {
  connect,
  type Msg,
  type NatsConnection,
  type Status,
  type Subscription,
  type SubscriptionOptions,
} from '@nats-io/transport-node'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { Nkey } from '#shared/nats/nkeys.ts'
import { answerInbox, inboxPrefix } from '#shared/protocol/subjects.ts'
import type {
  Channel,
  ChannelEnd,
  ChannelHandler,
  ChannelMessage,
  ChannelStatus,
  ChannelSubscription,
  RequestOptions,
} from './channel.ts'
import { sleep, type Timer } from './clock.ts'
import type { Logger } from './logger.ts'
import {
  asConnectError,
  asRequestError,
  asSendError,
  isTimeout,
  notConnected,
  refusedSubject,
} from './nats-errors.ts'
import { ReconnectDelay } from './nats-reconnect.ts'
import { natsTls, type NatsTlsOptions } from './nats-tls.ts'

/** What the hub issues beside an SVID. */
export interface NatsCredentials {
  /** user JWT of `key` */
  readonly jwt: string
  readonly key: Nkey
}

export interface NatsChannelOptions extends NatsTlsOptions {
  /** `host:port` each */
  readonly servers: readonly string[]
  readonly credentials: NatsCredentials
  readonly log: Logger
  /** for the first connection, 5 s unless given */
  readonly connectTimeoutMs?: number
}

const CONNECT_TIMEOUT_MS = 5_000
const LEAST_TRY_MS = 3_000
const FLUSH_TIMEOUT_MS = 5_000
const DRAIN_TIMEOUT_MS = 5_000
// Two pings unanswered end a connection whose other end has vanished without a word: 20 to 30 s.
const PING_INTERVAL_MS = 10_000
const MAX_PINGS_OUT = 2
// setTimeout() takes 31 bits of milliseconds; a longer life is waited for in days.
const DAY_MS = 86_400_000

/**
 * A connected channel; nothing but TLS bytes has gone to any server that is not `expectServer`. A connection that was begun
 * while the server read its configuration again is sometimes never answered, so one that takes a third of the time is
 * given up for another.
 * Errors: ZT-401-CERT (the server is not the expected one), ZT-401-SESSION (the server refuses these credentials),
 * ZT-503-NATS (no server answers).
 */
export async function connectNats(options: NatsChannelOptions): Promise<Channel> {
  const wholeMs = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS
  const deadline = options.clock.monotonicNs() + BigInt(Math.ceil(wholeMs * 1e6))
  for (;;) {
    const leftMs = Math.max(1, Number(deadline - options.clock.monotonicNs()) / 1e6)
    const triedMs = Math.min(leftMs, Math.max(LEAST_TRY_MS, wholeMs / 3))
    try {
      return await connectOnce(options, triedMs)
    } catch (cause) {
      if (triedMs >= leftMs || !isTimeout(cause)) throw asConnectError(cause)
    }
  }
}

async function connectOnce(options: NatsChannelOptions, timeout: number): Promise<Channel> {
  const delay = new ReconnectDelay()
  const connection = await connect({
    servers: [...options.servers],
    tls: natsTls(options),
    authenticator: (nonce) => answerNonce(options.credentials, nonce),
    inboxPrefix: inboxPrefix(options.identity.id),
    timeout,
    pingInterval: PING_INTERVAL_MS,
    maxPingOut: MAX_PINGS_OUT,
    maxReconnectAttempts: -1,
    reconnectDelayHandler: () => delay.ms,
    // The identity's end ends the channel, not a count of refusals; see #arm().
    ignoreAuthErrorAbort: true,
    // Servers that a server tells of are not ours to trust.
    ignoreClusterUpdates: true,
    noAsyncTraces: true,
  })
  return new NatsChannel(connection, options, delay)
}

function answerNonce(
  credentials: NatsCredentials,
  nonce: string | undefined,
): { jwt: string; nkey: string; sig: string } {
  if (nonce === undefined) throw new ZtError('ZT-503-NATS', 'the nats server asks for no proof of the key')
  const signature = credentials.key.sign(Buffer.from(nonce))
  return { jwt: credentials.jwt, nkey: credentials.key.publicKey, sig: encodeBase64url(signature) }
}

class NatsChannel implements Channel {
  readonly closed: Promise<ChannelEnd>
  readonly #connection: NatsConnection
  readonly #options: NatsChannelOptions
  readonly #delay: ReconnectDelay
  readonly #listeners = new Set<(status: ChannelStatus) => void>()
  readonly #subscriptions = new Set<Subscription>()
  /** Handlers and requests that have not finished: drain() waits for them. */
  readonly #underway = new Set<Promise<unknown>>()
  /** What ends the requests that wait when the connection ends. */
  readonly #waiting = new Set<(error: ZtError) => void>()
  #connected = true
  #end: ChannelEnd | undefined
  #expiry: Timer | undefined

  constructor(connection: NatsConnection, options: NatsChannelOptions, delay: ReconnectDelay) {
    this.#connection = connection
    this.#options = options
    this.#delay = delay
    delay.connected()
    this.closed = connection.closed().then((error) => this.#closed(error))
    this.#arm()
    void this.#watch(connection.status())
  }

  get connected(): boolean {
    return this.#connected
  }

  publish(subject: string, data: Uint8Array, options: { readonly replyTo?: string } = {}): void {
    if (!this.#connected) throw notConnected()
    try {
      this.#connection.publish(subject, data, options.replyTo === undefined ? {} : { reply: options.replyTo })
    } catch (cause) {
      throw asSendError(cause)
    }
  }

  request(subject: string, data: Uint8Array, options: RequestOptions): Promise<ChannelMessage> {
    return this.#track(this.#request(subject, data, options))
  }

  subscribe(
    subject: string,
    handler: ChannelHandler,
    options: { readonly queue?: string } = {},
  ): ChannelSubscription {
    const { promise, resolve } = Promise.withResolvers<ZtError | undefined>()
    const subscription = this.#subscribe(subject, {
      ...options,
      callback: (error, message) => {
        if (error === null) this.#handle(handler, message)
        else resolve(refusedSubject('subscribe', subject, error))
      },
    })
    void subscription.closed.then(() => {
      this.#subscriptions.delete(subscription)
      resolve(undefined)
    })
    return { subject, ended: promise, unsubscribe: () => subscription.unsubscribe() }
  }

  newInbox(): string {
    return `${inboxPrefix(this.#options.identity.id)}.${crypto.randomUUID()}`
  }

  async flush(timeoutMs: number = FLUSH_TIMEOUT_MS): Promise<void> {
    if (!this.#connected) throw notConnected()
    const flushed = this.#connection.flush().catch((cause: unknown) => {
      throw asSendError(cause)
    })
    if (!(await this.#within(flushed, timeoutMs))) {
      throw new ZtError('ZT-504-TIMEOUT', 'the nats server did not answer in the time given')
    }
  }

  onStatus(listener: (status: ChannelStatus) => void): () => void {
    this.#listeners.add(listener)
    return () => {
      this.#listeners.delete(listener)
    }
  }

  async drain(timeoutMs: number = DRAIN_TIMEOUT_MS): Promise<void> {
    if (this.#end !== undefined) return
    await this.#within(this.#finish(), timeoutMs)
    await this.close()
  }

  async close(): Promise<void> {
    await this.#stop({ kind: 'closed' })
  }

  #subscribe(subject: string, options: SubscriptionOptions): Subscription {
    try {
      const subscription = this.#connection.subscribe(subject, options)
      this.#subscriptions.add(subscription)
      return subscription
    } catch (cause) {
      throw asSendError(cause)
    }
  }

  async #request(subject: string, data: Uint8Array, options: RequestOptions): Promise<ChannelMessage> {
    const { clock } = this.#options
    const deadline = clock.monotonicNs() + BigInt(Math.ceil(options.timeoutMs * 1e6))
    if (!this.#connected && !(await this.#within(this.#reconnected(), options.timeoutMs)))
      throw notConnected()
    const leftMs = Math.max(1, Number(deadline - clock.monotonicNs()) / 1e6)
    try {
      return this.#received(await this.#answer(subject, data, leftMs))
    } catch (cause) {
      throw asRequestError(cause, subject, options.unreachable)
    }
  }

  async #answer(subject: string, data: Uint8Array, timeout: number): Promise<Msg> {
    const reply = answerInbox(this.#options.identity.id, subject, crypto.randomUUID())
    if (reply === undefined) return this.#connection.request(subject, data, { timeout })
    const { promise, reject } = Promise.withResolvers<never>()
    // The client does not end a wait on a subscription of its own when the connection ends.
    this.#waiting.add(reject)
    try {
      const asked = this.#connection.request(subject, data, { timeout, noMux: true, reply })
      return await Promise.race([asked, promise])
    } finally {
      this.#waiting.delete(reject)
    }
  }

  /** Resolves when messages can be sent again; rejects when they never can. */
  #reconnected(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const stop = this.onStatus((status) => {
      if (status.kind === 'connected') resolve()
    })
    void this.closed.then(() => reject(notConnected()))
    return promise.finally(stop)
  }

  #handle(handler: ChannelHandler, message: Msg): void {
    const report = (error: unknown): void =>
      this.#options.log.error('a message handler failed', { subject: message.subject, error })
    try {
      const result = handler(this.#received(message))
      if (result instanceof Promise) void this.#track(result.catch(report))
    } catch (error) {
      report(error)
    }
  }

  #received(message: Msg): ChannelMessage {
    const { subject, data } = message
    const replyTo = message.reply === '' ? undefined : message.reply
    const respond = (answer: Uint8Array): void => {
      if (replyTo === undefined) throw new ZtError('ZT-421-MISDIRECTED', 'the message wants no answer')
      this.publish(replyTo, answer)
    }
    return { subject, data, replyTo, respond }
  }

  #track<T>(work: Promise<T>): Promise<T> {
    const forget = (): void => {
      this.#underway.delete(work)
    }
    this.#underway.add(work)
    work.then(forget, forget)
    return work
  }

  async #finish(): Promise<void> {
    await Promise.allSettled([...this.#subscriptions].map((subscription) => subscription.drain()))
    // A handler that ends may have begun a request.
    while (this.#underway.size > 0) await Promise.allSettled(this.#underway)
    if (this.#connected) await this.#connection.flush().catch(() => undefined)
  }

  /** True if `work` was done in time; its rejection is passed on. */
  async #within(work: Promise<void>, timeoutMs: number): Promise<boolean> {
    const abandoned = new AbortController()
    const late = sleep(this.#options.clock, timeoutMs, abandoned.signal).then(() => false)
    try {
      return await Promise.race([work.then(() => true), late])
    } finally {
      abandoned.abort()
    }
  }

  #arm(): void {
    const { clock, identity } = this.#options
    const leftMs = identity.notAfter - clock.now()
    if (leftMs <= 0) void this.#stop({ kind: 'expired' })
    else this.#expiry = clock.after(Math.min(leftMs, DAY_MS), () => this.#arm())
  }

  async #stop(end: ChannelEnd): Promise<void> {
    this.#end ??= end
    this.#expiry?.cancel()
    await this.#connection.close()
  }

  #closed(error: unknown): ChannelEnd {
    this.#connected = false
    this.#expiry?.cancel()
    for (const end of this.#waiting) end(notConnected())
    this.#end ??= { kind: 'failed', error: asConnectError(error) }
    return this.#end
  }

  async #watch(statuses: AsyncIterable<Status>): Promise<void> {
    for await (const status of statuses) this.#changed(status)
  }

  #changed(status: Status): void {
    switch (status.type) {
      case 'disconnect':
        this.#setConnected(false)
        break
      case 'reconnecting':
        this.#delay.attempted()
        break
      case 'reconnect':
        this.#delay.connected()
        this.#resume()
        break
      case 'error':
        this.#failed(asSendError(status.error))
        break
      case 'close':
      case 'forceReconnect':
      case 'ldm':
      case 'ping':
      case 'slowConsumer':
      case 'staleConnection':
      case 'update':
        break
    }
  }

  /** Connected means that the server has our subscriptions again: it has when it answers what was sent after them. */
  #resume(): void {
    // If the connection is lost again before, the next one comes back here.
    this.#connection.flush().then(
      () => this.#setConnected(true),
      () => undefined,
    )
  }

  /** The client reports a failed attempt as one more disconnection: only changes are told. */
  #setConnected(connected: boolean): void {
    if (this.#connected === connected) return
    this.#connected = connected
    this.#tell({ kind: connected ? 'connected' : 'disconnected' })
  }

  #failed(error: ZtError): void {
    const { subject, operation } = error.details
    if (error.code === 'ZT-401-SESSION') this.#tell({ kind: 'unauthorized' })
    else if (typeof subject === 'string') {
      this.#tell({ kind: 'refused', operation: operation === 'publish' ? 'publish' : 'subscribe', subject })
    } else this.#options.log.warn('the nats server reported an error', { error })
  }

  #tell(status: ChannelStatus): void {
    for (const listener of this.#listeners) {
      try {
        listener(status)
      } catch (error) {
        this.#options.log.error('a status listener failed', { error })
      }
    }
  }
}
