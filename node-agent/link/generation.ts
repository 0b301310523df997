// One identity and its connection, from admission to the end of its drain. What arrives over it is handed on; nothing
// is believed because it arrived here.
import type { Channel, ChannelMessage } from '#shared/host/channel.ts'
import { sleep, type Clock } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'
import { connectNats } from '#shared/host/nats-channel.ts'
import type { NodeName } from '#shared/identity/names.ts'
import { signEncKeyWith } from '#shared/protocol/enc-key.ts'
import type { HubParams, HubResults } from '#shared/protocol/hub-ops.ts'
import { anchorSubject, commandSubject, DENY_SUBJECT, hubSubject } from '#shared/protocol/subjects.ts'
import type { SvidValidator } from '#shared/x509/svid.ts'
import type { Admission } from '../attest/admission.ts'
import type { Denials } from '../revocation/denials.ts'
import type { TaskOp } from '../workload-api/workload-api.ts'
import { HubCaller } from './hub-caller.ts'

export interface GenerationParts {
  readonly node: NodeName
  readonly trust: SvidValidator
  readonly clock: Clock
  readonly logger: Logger
  readonly denials: Denials
  /** resolves when the command has been dealt with */
  readonly onCommand: (message: ChannelMessage) => Promise<void>
  readonly onAck: (subject: string, data: Uint8Array) => void
}

/** Two connections overlap while one takes over from the other: in one queue group each command reaches one. */
const QUEUE = 'agent'
const RETRY_MS = 1000

export class Generation {
  readonly admission: Admission
  readonly channel: Channel
  readonly #parts: GenerationParts
  readonly #hub: HubCaller

  private constructor(parts: GenerationParts, admission: Admission, channel: Channel) {
    this.#parts = parts
    this.admission = admission
    this.channel = channel
    const { trust, clock } = parts
    const { identity, hubKey } = admission
    this.#hub = new HubCaller({ channel, identity, hubKey, trust, clock })
  }

  /**
   * Connects, brings the deny list up to date, and tells the hub to which key commands are to be sealed now. Takes no
   * command yet: see serve(). Errors of connectNats() and HubCaller.call(); then the connection is closed again.
   */
  static async open(parts: GenerationParts, admission: Admission): Promise<Generation> {
    const { identity, link, credentials, nats } = admission
    const { trust, clock, logger } = parts
    const channel = await connectNats({
      servers: nats.servers.map((server) => server.replace(/^tls:\/\//, '')),
      expectServer: nats.serverId,
      identity: { ...link, id: identity.id, notAfter: identity.notAfter },
      credentials,
      trust,
      clock,
      log: logger,
    })
    const generation = new Generation(parts, admission, channel)
    try {
      await generation.#begin()
      return generation
    } catch (error) {
      await channel.close()
      throw error
    }
  }

  /** Takes commands from now on; resolves when the broker knows. */
  async serve(): Promise<void> {
    const { node, onCommand } = this.#parts
    this.channel.subscribe(commandSubject(node), onCommand, { queue: QUEUE })
    await this.channel.flush()
  }

  anchor(params: HubParams['anchor']): Promise<HubResults['anchor']> {
    return this.#hub.call({ op: 'anchor', subject: anchorSubject(this.#parts.node), params })
  }

  /** Asks the hub for the tasks of this node. Errors of HubCaller.call(). */
  ask<Op extends TaskOp>(op: Op, params: HubParams[Op]): Promise<HubResults[Op]> {
    return this.#hub.call({ op, subject: hubSubject(op, this.admission.identity.id), params })
  }

  /** Takes no further commands, lets those under way finish, and closes. */
  async retire(timeoutMs: number): Promise<void> {
    await this.channel.drain(timeoutMs)
    this.#parts.denials.resume(this)
  }

  async #begin(): Promise<void> {
    const { node, denials, clock, onAck } = this.#parts
    const { identity, encKey } = this.admission
    // Before the list is fetched, so that no change falls between the two.
    this.channel.subscribe(DENY_SUBJECT, ({ data }) => this.#takeDenyList(data))
    this.channel.subscribe(`zt.node.${node}.ack.>`, ({ subject, data }) => onAck(subject, data))
    this.#watchLink()
    const params = { enc_key: await signEncKeyWith(identity, encKey.publicKey, clock.now()) }
    const { deny } = await this.#hub.call({ op: 'hello', subject: hubSubject('hello', identity.id), params })
    await denials.offer(deny)
  }

  async #takeDenyList(data: Uint8Array): Promise<void> {
    try {
      await this.#parts.denials.offer(Buffer.from(data).toString('latin1'))
    } catch (error) {
      // Anybody on the broker's side can send bytes here.
      this.#parts.logger.warn('a deny list was refused', { error })
    }
  }

  /** Pushes are lost while the link is down, so the list is asked for again before anything is judged. */
  #watchLink(): void {
    const { denials } = this.#parts
    this.channel.onStatus((status) => {
      if (status.kind === 'disconnected') denials.suspend(this)
      else if (status.kind === 'connected') void this.#refreshDenyList()
    })
    void this.channel.closed.then(() => denials.resume(this))
  }

  async #refreshDenyList(): Promise<void> {
    const { denials, clock, logger } = this.#parts
    const subject = hubSubject('deny', this.admission.identity.id)
    while (this.channel.connected) {
      try {
        const { deny } = await this.#hub.call({ op: 'deny', subject, params: {} })
        await denials.offer(deny)
        denials.resume(this)
        return
      } catch (error) {
        logger.warn('the deny list could not be fetched', { error })
        await sleep(clock, RETRY_MS)
      }
    }
  }
}
