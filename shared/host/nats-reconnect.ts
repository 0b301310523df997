// How long to wait between attempts: at once, then within a quarter of a second, then twice as long each time up to
// 5 s, always with jitter: a thousand clients must not come back in step.

const FIRST_MS = 250
const LONGEST_MS = 5_000

export class ReconnectDelay {
  #attempts = 0
  #ms = 0

  /** Of the next attempt, counted from the one before. */
  get ms(): number {
    return this.#ms
  }

  connected(): void {
    this.#attempts = 0
    this.#ms = Math.floor(Math.random() * FIRST_MS)
  }

  attempted(): void {
    this.#attempts += 1
    const mostMs = Math.min(LONGEST_MS, FIRST_MS * 2 ** (this.#attempts - 1))
    this.#ms = Math.floor(mostMs * (0.5 + Math.random() / 2))
  }
}
