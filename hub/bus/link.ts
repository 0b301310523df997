// Keeps the hub on its broker: each new identity of the hub gets a connection of its own, made before the one before
// ends. Tries until it succeeds or a newer identity is there.
import { sleep, type Clock } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'
import type { Identity } from '#shared/identity/identity.ts'
import type { Broker } from '../nats/broker.ts'
import type { HubBus } from './bus.ts'

const RETRY_MS = 1000

export interface LinkParts {
  readonly broker: Pick<Broker, 'connect' | 'renew'>
  readonly bus: HubBus
  readonly clock: Clock
  readonly log: Logger
}

export class BusLink {
  readonly #parts: LinkParts
  readonly #ended = new AbortController()
  #newest: string | undefined

  constructor(parts: LinkParts) {
    this.#parts = parts
  }

  /** Connects once. Errors: those of Broker.connect(). */
  async connect(identity: Identity): Promise<void> {
    const { broker, bus } = this.#parts
    const channel = await broker.connect(identity)
    try {
      await bus.use(channel)
    } catch (error) {
      await channel.close()
      throw error
    }
  }

  /** Moves both connections of the hub to `identity`; resolves when they are, or when a newer one has come. */
  async follow(identity: Identity): Promise<void> {
    const { broker, clock, log } = this.#parts
    this.#newest = identity.thumbprint
    const { signal } = this.#ended
    while (this.#newest === identity.thumbprint && !signal.aborted && clock.now() < identity.notAfter) {
      try {
        await broker.renew(identity)
        await this.connect(identity)
        return
      } catch (error) {
        log.warn('the broker cannot be reached with the new identity; trying again', { error })
        await sleep(clock, RETRY_MS, signal)
      }
    }
  }

  close(): void {
    this.#ended.abort()
  }
}
