// Where output goes out: the channel of the identity in force. When a new one takes over, what was sent over the old one
// has reached the broker before anything goes over the new one, so frames stay in order.
import { isZtError } from '#shared/errors/error.ts'
import type { Channel } from '#shared/host/channel.ts'

export class Bus {
  #channel: Channel | undefined
  #switching: Promise<void> | undefined
  #connected = Promise.withResolvers<void>()
  #stopListening: () => void = () => undefined

  /** Puts `next` in the place of the channel before it; that one is the caller's to drain. */
  async use(next: Channel): Promise<void> {
    const before = this.#channel
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#switching = promise
    try {
      // A channel that is down has nothing under way that could still arrive.
      if (before?.connected === true) await before.flush().catch(() => undefined)
    } finally {
      this.#stopListening()
      this.#channel = next
      this.#stopListening = next.onStatus((status) => {
        if (status.kind === 'connected') this.#wake()
      })
      this.#switching = undefined
      resolve()
      this.#wake()
    }
  }

  /** Resolves when the message was handed to a connected channel; waits for one as long as `stop` lets it. */
  async publish(subject: string, data: Uint8Array, stop: AbortSignal): Promise<void> {
    while (!stop.aborted) {
      // Taken before the attempt: a channel that comes up in between is not missed.
      const connected = this.#connected.promise
      await this.#switching
      if (this.#attempt(subject, data)) return
      await untilAborted(connected, stop)
    }
  }

  #attempt(subject: string, data: Uint8Array): boolean {
    if (this.#channel?.connected !== true) return false
    try {
      this.#channel.publish(subject, data)
      return true
    } catch (error) {
      if (isZtError(error, 'ZT-503-NATS')) return false
      throw error
    }
  }

  #wake(): void {
    this.#connected.resolve()
    this.#connected = Promise.withResolvers<void>()
  }
}

/** Resolves with `work` or when `stop` aborts, whichever is first. */
export function untilAborted(work: Promise<void>, stop: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      stop.removeEventListener('abort', end)
      resolve()
    }
    stop.addEventListener('abort', end, { once: true })
    if (stop.aborted) end()
    void work.then(end, end)
  })
}
