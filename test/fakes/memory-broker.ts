// A broker in memory, as untrusted as the real one: a test may drop, repeat, change and forge what passes through it.
import { ZtError } from '#shared/errors/error.ts'
import type {
  Channel,
  ChannelEnd,
  ChannelHandler,
  ChannelMessage,
  ChannelStatus,
  ChannelSubscription,
  RequestOptions,
} from '#shared/host/channel.ts'

interface Subscriber {
  readonly subject: string
  readonly handler: ChannelHandler
}

/** What becomes of a message: the messages that are delivered in its place. */
export type Tamper = (subject: string, data: Uint8Array) => readonly Uint8Array[]

export class MemoryBroker {
  readonly #subscribers = new Set<Subscriber>()
  readonly #channels = new Set<MemoryChannel>()
  /** everything that was published */
  readonly passed: { readonly subject: string; readonly data: Uint8Array }[] = []
  tamper: Tamper = (_subject, data) => [data]

  channel(prefix: string): MemoryChannel {
    const channel = new MemoryChannel(this, prefix)
    this.#channels.add(channel)
    return channel
  }

  /** Tells every channel of a change of status. */
  tell(status: ChannelStatus): void {
    for (const channel of this.#channels) channel.tell(status)
  }

  subscribe(subscriber: Subscriber): () => void {
    this.#subscribers.add(subscriber)
    return () => this.#subscribers.delete(subscriber)
  }

  /** Resolves to true if anybody listens. */
  deliver(message: Omit<ChannelMessage, 'respond'>): boolean {
    const { subject, replyTo } = message
    this.passed.push({ subject, data: message.data })
    const receivers = [...this.#subscribers].filter((known) => matches(known.subject, subject))
    for (const data of this.tamper(subject, message.data)) {
      const respond = (answer: Uint8Array): void => {
        if (replyTo !== undefined) this.deliver({ subject: replyTo, data: answer, replyTo: undefined })
      }
      for (const { handler } of receivers) {
        setImmediate(() => void handler({ subject, data: Uint8Array.from(data), replyTo, respond }))
      }
    }
    return receivers.length > 0
  }
}

export class MemoryChannel implements Channel {
  connected = true
  readonly closed: Promise<ChannelEnd>
  readonly #broker: MemoryBroker
  readonly #prefix: string
  readonly #listeners = new Set<(status: ChannelStatus) => void>()
  readonly #end = Promise.withResolvers<ChannelEnd>()
  #inboxes = 0

  constructor(broker: MemoryBroker, prefix: string) {
    this.#broker = broker
    this.#prefix = prefix
    this.closed = this.#end.promise
  }

  publish(subject: string, data: Uint8Array, options: { readonly replyTo?: string } = {}): void {
    if (!this.connected) throw new ZtError('ZT-503-NATS', 'not connected')
    this.#broker.deliver({ subject, data, replyTo: options.replyTo })
  }

  request(subject: string, data: Uint8Array, options: RequestOptions): Promise<ChannelMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<ChannelMessage>()
    const replyTo = this.newInbox()
    const stop = this.#broker.subscribe({ subject: replyTo, handler: resolve })
    const timer = setTimeout(
      () => reject(new ZtError('ZT-504-TIMEOUT', 'no answer')),
      Math.min(options.timeoutMs, 2 ** 31 - 1),
    )
    if (!this.#broker.deliver({ subject, data, replyTo }))
      reject(new ZtError(options.unreachable, 'nobody there'))
    return promise.finally(() => {
      clearTimeout(timer)
      stop()
    })
  }

  subscribe(subject: string, handler: ChannelHandler): ChannelSubscription {
    const ended = Promise.withResolvers<undefined>()
    const stop = this.#broker.subscribe({ subject, handler })
    const unsubscribe = (): void => {
      stop()
      ended.resolve(undefined)
    }
    return { subject, unsubscribe, ended: ended.promise }
  }

  newInbox(): string {
    this.#inboxes += 1
    return `${this.#prefix}.${this.#inboxes}`
  }

  flush(): Promise<void> {
    return Promise.resolve()
  }

  onStatus(listener: (status: ChannelStatus) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  tell(status: ChannelStatus): void {
    this.connected = status.kind === 'connected'
    for (const listener of this.#listeners) listener(status)
  }

  drain(): Promise<void> {
    return this.close()
  }

  close(): Promise<void> {
    this.connected = false
    this.#end.resolve({ kind: 'closed' })
    return Promise.resolve()
  }
}

/** NATS subject matching: `*` is one token, `>` the rest. */
function matches(pattern: string, subject: string): boolean {
  const wanted = pattern.split('.')
  const given = subject.split('.')
  for (const [index, token] of wanted.entries()) {
    if (token === '>') return given.length > index
    if (token !== '*' && token !== given[index]) return false
  }
  return wanted.length === given.length
}
