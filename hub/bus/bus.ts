// The hub's end of NATS: takes requests, answers each with a sealed, signed receipt, and pushes the deny list. What
// fails before its sender is proved gets no answer at all: it is counted, and written as a row within limits.
import { toWireError, type WireError } from '#shared/errors/error.ts'
import type { Channel, ChannelMessage } from '#shared/host/channel.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'
import type { Identity } from '#shared/identity/identity.ts'
import { MAX_ENVELOPE_BYTES, type HubEnvelope } from '#shared/protocol/envelope.ts'
import { sealReceipt, type Outcome } from '#shared/protocol/receipt.ts'
import { DENY_SUBJECT, inboxPrefix } from '#shared/protocol/subjects.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import type { Refusals } from '../audit/refusals.ts'
import { actorOf } from '../audit/rows.ts'
import { FairQueue } from './fair-queue.ts'
import type { Gate, Received } from './gate.ts'
import { performOperation, type Operations } from './operations.ts'

export interface BusParts {
  readonly gate: Gate
  readonly operations: Operations
  readonly identity: () => Identity
  readonly refusals: Refusals
  readonly clock: Clock
  readonly log: Logger
  /** the signed deny list of this moment */
  readonly denyList: () => string
}

interface Waiting {
  readonly message: ChannelMessage
  readonly done: () => void
}

// Two connections of the hub overlap while one takes over from the other: in one queue group each request reaches one.
const QUEUE = 'hub'
const SUBJECTS = ['zt.hub.>', 'zt.anchor.*']

export class HubBus {
  readonly #parts: BusParts
  readonly #queue: FairQueue<Waiting>
  #channel: Channel | undefined

  constructor(parts: BusParts) {
    this.#parts = parts
    const work = ({ message, done }: Waiting): Promise<void> =>
      this.#handle(message)
        .catch((error: unknown) => parts.log.error('a request could not be handled', { error }))
        .finally(done)
    this.#queue = new FairQueue({ clock: parts.clock, work })
  }

  /** True while requests can come in. */
  get connected(): boolean {
    return this.#channel?.connected ?? false
  }

  /** Takes requests on `channel` from now on; the channel before it finishes what it has and closes. */
  async use(channel: Channel): Promise<void> {
    for (const subject of SUBJECTS)
      channel.subscribe(subject, (message) => this.#take(message), { queue: QUEUE })
    await channel.flush()
    const before = this.#channel
    this.#channel = channel
    channel.onStatus((status) => {
      if (status.kind === 'connected') this.pushDenyList()
    })
    this.pushDenyList()
    await before?.drain()
  }

  /** Sends the deny list to everybody who listens. What is lost on the way is sent again, and comes with renewals. */
  pushDenyList(): void {
    try {
      this.#channel?.publish(DENY_SUBJECT, Buffer.from(this.#parts.denyList(), 'ascii'))
    } catch (error) {
      this.#parts.log.warn('the deny list could not be pushed', { error })
    }
  }

  async close(): Promise<void> {
    await this.#channel?.drain()
    this.#channel = undefined
  }

  /** Resolves when the message has been dealt with, or dropped. */
  #take(message: ChannelMessage): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const tag = this.#parts.gate.senderOf(message.subject)
    // Not hashed for a row either: what is dropped must cost next to nothing. What is too large is not kept until its turn.
    if (message.data.length > MAX_ENVELOPE_BYTES) {
      this.#parts.refusals.count({ type: 'cmd.rejected', code: 'ZT-413-SIZE', from: tag })
      return Promise.resolve()
    }
    if (this.#parts.gate.hasRoom(tag) && this.#queue.offer(tag, { message, done: resolve })) return promise
    this.#parts.refusals.count({ type: 'cmd.rejected', code: 'ZT-429-RATE', from: tag })
    return Promise.resolve()
  }

  async #handle(message: ChannelMessage): Promise<void> {
    const { gate, refusals } = this.#parts
    let received: Received
    try {
      received = gate.open(message)
    } catch (error) {
      const req = { env: sha256Text(message.data) }
      await refusals.record({ type: 'cmd.rejected', req }, error)
      return
    }
    const outcome = await this.#perform(received)
    await this.#answer(message, received.envelope, outcome)
  }

  async #perform(received: Received): Promise<Outcome> {
    const { envelope, caller, sha256 } = received
    const { op, jti, nonce } = envelope
    const req = { env: sha256, jti, nonce }
    try {
      await this.#parts.gate.admit(received)
      const { result, row } = await performOperation(this.#parts.operations, received)
      if (row === undefined) return { op, ok: true, result }
      const { log, seq, hash, checkpoint } = row
      return { op, ok: true, result, row: { log, seq, hash }, checkpoint }
    } catch (error) {
      await this.#parts.refusals.record(
        { type: 'cmd.rejected', actor: actorOf(caller), req, obj: { op } },
        error,
      )
      return { op, ok: false, error: this.#wireError(error, envelope) }
    }
  }

  #wireError(error: unknown, { jti, op }: HubEnvelope): WireError {
    const wire = toWireError(error, jti)
    if (wire.code.startsWith('ZT-5')) this.#parts.log.error('request failed', { requestId: jti, op, error })
    return wire
  }

  async #seal(to: HubEnvelope, outcome: Outcome): Promise<string> {
    const { identity, clock } = this.#parts
    try {
      return await sealReceipt(identity(), { to, outcome, now: clock.now() })
    } catch (error) {
      // What was done is done; the answer to it is too large to send, and says so.
      const failed = { op: outcome.op, ok: false, error: this.#wireError(error, to) } as const
      return sealReceipt(identity(), { to, outcome: failed, now: clock.now() })
    }
  }

  async #answer(message: ChannelMessage, envelope: HubEnvelope, outcome: Outcome): Promise<void> {
    const { log } = this.#parts
    const text = await this.#seal(envelope, outcome)
    // The broker says where an answer goes: it may only be the inbox of who asked, or the one that was signed.
    const inbox = `${inboxPrefix(envelope.iss)}.`
    const { replyTo } = message
    const to = replyTo?.startsWith(inbox) === true ? replyTo : envelope.reply
    try {
      this.#channel?.publish(to, Buffer.from(text, 'ascii'))
    } catch (error) {
      log.warn('an answer could not be sent', { error, requestId: envelope.jti })
    }
  }
}
