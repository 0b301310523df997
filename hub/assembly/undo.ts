// What must be undone when the hub ends or does not come up, newest first.
import type { Logger } from '#shared/host/logger.ts'

export class Undo {
  readonly #log: Logger
  readonly #steps: (() => Promise<void> | void)[] = []

  constructor(log: Logger) {
    this.#log = log
  }

  push(step: () => Promise<void> | void): void {
    this.#steps.push(step)
  }

  /** Runs every step. One that fails is logged and keeps no other from running. */
  async run(): Promise<void> {
    for (const step of this.#steps.splice(0).toReversed()) {
      try {
        await step()
      } catch (error) {
        this.#log.error('a part of the hub did not end cleanly', { error })
      }
    }
  }
}
