// What a hub does by itself now and then. A task that fails is logged and tried again at its next time; it never ends
// the hub, and never keeps another task from running.
import type { Clock, Timer } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'

export interface Task {
  readonly name: string
  readonly everyMs: number
  /** until the first run; everyMs unless given */
  readonly firstMs?: number
  readonly run: () => Promise<void> | void
}

export class Maintenance {
  readonly #clock: Clock
  readonly #log: Logger
  readonly #timers = new Map<string, Timer>()
  readonly #running = new Set<Promise<void>>()
  #closed = false

  constructor(parts: { readonly clock: Clock; readonly log: Logger }) {
    this.#clock = parts.clock
    this.#log = parts.log
  }

  /** Runs the task from now on, `everyMs` after each run. */
  add(task: Task): void {
    this.#arm(task, task.firstMs ?? task.everyMs)
  }

  /** Starts no task any more, and resolves when those under way have ended. */
  async close(): Promise<void> {
    this.#closed = true
    for (const timer of this.#timers.values()) timer.cancel()
    await Promise.all(this.#running)
  }

  #start(task: Task): void {
    const run = this.#run(task)
    this.#running.add(run)
    void run.then(() => this.#running.delete(run))
  }

  async #run(task: Task): Promise<void> {
    try {
      await task.run()
    } catch (error) {
      this.#log.error('a recurring task failed', { task: task.name, error })
    }
    this.#arm(task, task.everyMs)
  }

  #arm(task: Task, delayMs: number): void {
    if (this.#closed) return
    this.#timers.set(
      task.name,
      this.#clock.after(delayMs, () => this.#start(task)),
    )
  }
}
