// The seam between ztmesh and what carries its messages. A channel is an untrusted router: it may delay, drop, repeat
// and reorder; whoever receives a message proves its origin from the message itself.
import type { ZtError } from '#shared/errors/error.ts'

export interface ChannelMessage {
  readonly subject: string
  readonly data: Uint8Array
  /** where an answer goes; undefined if none is wanted */
  readonly replyTo: string | undefined
  /**
   * Answers to `replyTo`. Throws ZT-421-MISDIRECTED if no answer is wanted, else what publish() throws. An answer is
   * sent at most once or a few times, and within the time that the receiver's credentials allow.
   */
  respond(data: Uint8Array): void
}

/** A handler may throw or reject: it is logged, and the channel goes on. */
export type ChannelHandler = (message: ChannelMessage) => void | Promise<void>

export interface ChannelSubscription {
  readonly subject: string
  /** No further message reaches the handler. */
  unsubscribe(): void
  /** Settles when it has ended: with an error if the broker refused it, undefined if the owner ended it. */
  readonly ended: Promise<ZtError | undefined>
}

export interface RequestOptions {
  /** for everything, a wait for the connection included */
  readonly timeoutMs: number
  /** the code if the broker knows no receiver: who is it that does not answer? */
  readonly unreachable: 'ZT-503-NODE' | 'ZT-503-HUB'
}

export type ChannelStatus =
  | { readonly kind: 'connected' }
  | { readonly kind: 'disconnected' }
  /** The broker does not take the credentials; the channel tries again until they expire. */
  | { readonly kind: 'unauthorized' }
  /** The broker does not let this identity publish to, or subscribe to, the subject. */
  | { readonly kind: 'refused'; readonly operation: 'publish' | 'subscribe'; readonly subject: string }

/** Why a channel ended; it never opens again. */
export type ChannelEnd =
  | { readonly kind: 'closed' }
  /** The identity has expired. */
  | { readonly kind: 'expired' }
  | { readonly kind: 'failed'; readonly error: ZtError }

export interface Channel {
  /** True while messages can be sent, and all that were subscribed to are received. */
  readonly connected: boolean
  readonly closed: Promise<ChannelEnd>

  /** Sends once, or not at all. ZT-503-NATS while not connected, ZT-413-SIZE over the broker's limit. */
  publish(subject: string, data: Uint8Array, options?: { readonly replyTo?: string }): void

  /**
   * The first answer. Waits for the connection if it is being made again; never sends twice.
   * ZT-504-TIMEOUT, `options.unreachable`, ZT-403-SUBJECT, ZT-503-NATS if the channel ends, ZT-413-SIZE.
   */
  request(subject: string, data: Uint8Array, options: RequestOptions): Promise<ChannelMessage>

  /**
   * Messages of one subscription are handed over in order; an asynchronous handler is not waited for. Goes on after a
   * reconnection. Of all subscriptions with the same `queue`, one gets each message: with a queue of its own name, a
   * receiver may overlap two channels and still get each message once. ZT-503-NATS after the channel's end.
   */
  subscribe(
    subject: string,
    handler: ChannelHandler,
    options?: { readonly queue?: string },
  ): ChannelSubscription

  /** A subject that only this principal may subscribe to, never given before. */
  newInbox(): string

  /** Resolves when the broker has seen everything that was sent before. ZT-503-NATS, ZT-504-TIMEOUT. */
  flush(timeoutMs?: number): Promise<void>

  /** Every change of status from now on; returns what ends it. */
  onStatus(listener: (status: ChannelStatus) => void): () => void

  /**
   * Takes no further messages, lets handlers and requests under way finish, then closes: at most `timeoutMs`
   * (5 s unless given). With a second channel connected before, nothing is lost.
   */
  drain(timeoutMs?: number): Promise<void>

  /** Ends at once. */
  close(): Promise<void>
}
