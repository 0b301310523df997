// One stream of the Workload API: the whole state at once, and again after every change (Workload API §4.3). A client
// that reads slowly misses states in between, never the last one, and nothing piles up for it.
import type * as Grpc from '@grpc/grpc-js'
import { once } from 'node:events'
import type { ZtError } from '#shared/errors/error.ts'

export interface StateStreamParts {
  readonly call: Grpc.ServerWritableStream<Uint8Array, Uint8Array>
  /** the state of now */
  readonly render: () => Promise<Uint8Array>
  readonly watch: (changed: () => void, refused: (error: ZtError) => void) => () => void
  /** ends the call with an error */
  readonly fail: (error: unknown) => void
  /** called once, when the stream is over */
  readonly closed: () => void
}

export class StateStream {
  readonly #parts: StateStreamParts
  readonly #over = new AbortController()
  #sent: Uint8Array | undefined
  #sending = false
  #stale = false

  constructor(parts: StateStreamParts) {
    this.#parts = parts
  }

  begin(): void {
    const { call, watch } = this.#parts
    const stop = watch(
      () => this.#push(),
      (error) => this.#fail(error),
    )
    const { signal } = this.#over
    signal.addEventListener('abort', () => {
      stop()
      this.#parts.closed()
    })
    for (const event of ['cancelled', 'close', 'error']) call.on(event, () => this.#over.abort())
    if (call.cancelled) this.#over.abort()
    this.#push()
  }

  #push(): void {
    this.#stale = true
    if (this.#sending || this.#over.signal.aborted) return
    this.#sending = true
    this.#send().then(
      () => {
        this.#sending = false
      },
      (error: unknown) => this.#fail(error),
    )
  }

  async #send(): Promise<void> {
    const { call, render } = this.#parts
    const { signal } = this.#over
    while (this.#stale && !signal.aborted) {
      this.#stale = false
      const state = await render()
      if (signal.aborted) return
      if (this.#sent !== undefined && Buffer.compare(this.#sent, state) === 0) continue
      this.#sent = state
      if (!call.write(state)) await once(call, 'drain', { signal }).catch(() => undefined)
    }
  }

  #fail(error: unknown): void {
    if (this.#over.signal.aborted) return
    this.#over.abort()
    this.#parts.fail(error)
  }
}
