// One piece of work at a time for each key, in the order of asking; different keys do not wait for each other.

export class Turns {
  /** never reject */
  readonly #last = new Map<string, Promise<void>>()

  /** What `work` gives, once everything before it under that key has ended in whatever way. */
  async take<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key) ?? Promise.resolve()
    const mine = before.then(work)
    const ended = mine.then(
      () => undefined,
      () => undefined,
    )
    this.#last.set(key, ended)
    try {
      return await mine
    } finally {
      if (this.#last.get(key) === ended) this.#last.delete(key)
    }
  }
}
