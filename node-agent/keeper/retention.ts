// What is kept of processes that have ended: the output of the latest, and longer the record that they were, without
// which a process id could be used again.
import { rmSync } from 'node:fs'
import type { Clock, Timer } from '#shared/host/clock.ts'
import type { ProcId } from '#shared/identity/names.ts'
import { dropOutput } from './output-log.ts'
import { procDir } from './record.ts'

export interface RetentionLimits {
  /** processes whose output is kept */
  readonly outputs: number
  readonly records: number
  /** milliseconds after which neither is kept */
  readonly ageMs: number
}

export interface RetentionOptions {
  readonly stateDir: string
  readonly limits: RetentionLimits
  readonly clock: Clock
  /** the record is gone: its process id can be used again */
  readonly onGone: (proc: ProcId) => void
  readonly onFault: (what: string, cause: unknown) => void
}

interface Ended {
  readonly proc: ProcId
  /** milliseconds since 1970 */
  readonly ended: number
}

export const DEFAULT_RETENTION: RetentionLimits = {
  outputs: 256,
  records: 10_000,
  ageMs: 7 * 24 * 3600 * 1000,
}

// A command is accepted for a minute at most, by clocks that may differ by less than one: until then the record must
// answer that its process id was used, however many came after it.
const NEVER_BEFORE_MS = 10 * 60 * 1000
const DELAY_MS = 1000

/** Removes what is over the limits a little later, so that the end of a process waits for none of it. */
export class Retention {
  readonly #options: RetentionOptions
  /** both oldest first; the first is a part of the second, at its end */
  readonly #withOutput: Ended[] = []
  readonly #recorded: Ended[] = []
  #timer: Timer | undefined

  constructor(options: RetentionOptions) {
    this.#options = options
  }

  /** To be called in the order in which the processes ended. */
  add(ended: Ended): void {
    this.#withOutput.push(ended)
    this.#recorded.push(ended)
    this.#timer ??= this.#options.clock.after(DELAY_MS, () => void this.#run())
  }

  close(): void {
    this.#timer?.cancel()
  }

  async #run(): Promise<void> {
    try {
      await this.#dropOutputs()
      this.#dropRecords()
    } catch (cause) {
      this.#options.onFault('what is over the retention could not be removed', cause)
    } finally {
      this.#timer = undefined
    }
  }

  async #dropOutputs(): Promise<void> {
    while (this.#withOutput.length > this.#options.limits.outputs) {
      const oldest = this.#withOutput.shift()
      if (oldest !== undefined) await dropOutput(procDir(this.#options.stateDir, oldest.proc))
    }
  }

  #dropRecords(): void {
    const { stateDir, limits, clock, onGone } = this.#options
    for (let oldest = this.#recorded[0]; oldest !== undefined; oldest = this.#recorded[0]) {
      const age = clock.now() - oldest.ended
      const over = age > limits.ageMs || (this.#recorded.length > limits.records && age > NEVER_BEFORE_MS)
      if (!over) return
      rmSync(procDir(stateDir, oldest.proc), { recursive: true, force: true })
      this.#recorded.shift()
      if (this.#withOutput[0]?.proc === oldest.proc) this.#withOutput.shift()
      onGone(oldest.proc)
    }
  }
}
