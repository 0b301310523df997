// The hub verifies its own log, whole, at every start and every hour: each row, and each head that it ever signed and
// kept. A hub whose log does not hold ends; the files stay as they are, for they are the evidence.
import { setImmediate as yieldToLoop } from 'node:timers/promises'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import type { DurableLog } from '#shared/host/durable-log.ts'
import { claimedHead } from '#shared/log/checkpoint.ts'
import { LogVerifier, type LogReport } from '#shared/log/verify-log.ts'

const ROWS_AT_ONCE = 500

export interface SelfCheckParts {
  readonly log: Pick<DurableLog, 'append' | 'checkpoint' | 'checkpoints' | 'records' | 'origin'>
  /** vkeys with which the log was registered */
  readonly vkeys: readonly string[]
}

export class SelfCheck {
  readonly #parts: SelfCheckParts

  constructor(parts: SelfCheckParts) {
    this.#parts = parts
  }

  /**
   * Verifies what was committed when it began, and writes a row about it. Throws the code of what does not hold
   * (ZT-490-…) with details.seq; of a log that holds, what append() throws.
   */
  async run(): Promise<LogReport> {
    const report = await this.#verify()
    const { rows, heads, firstBad } = report
    if (firstBad === undefined) {
      await this.#parts.log.append({ type: 'audit.verified', out: 'info', obj: { rows, heads } })
      return report
    }
    const { seq, code, message } = firstBad
    // What was found is said whether or not there is room for a row about it.
    const cause = await this.#parts.log
      .append({ type: 'audit.verified', out: 'error', code, obj: { rows, heads, seq } })
      .then(
        () => undefined,
        (error: unknown) => error,
      )
    const said = `the log of the hub does not hold: ${message}`
    throw new ZtError(code, said, { details: { seq }, ...(cause !== undefined && { cause }) })
  }

  /**
   * The same, for a hub that is running: `end` is told of a log that does not hold (ZT-490-…). Rejects with anything
   * else, such as ZT-503-AUDIT for its row: then nothing is known against the log, and the next run looks again.
   */
  async runOrEnd(end: (error: ZtError) => void): Promise<void> {
    try {
      await this.run()
    } catch (error) {
      if (!isZtError(error) || !error.code.startsWith('ZT-490-')) throw error
      end(error)
    }
  }

  async #verify(): Promise<LogReport> {
    const { log, vkeys } = this.#parts
    const { size, note } = log.checkpoint()
    const verifier = new LogVerifier({ origin: log.origin, vkeys })
    verifier.addCheckpoints([...log.checkpoints().filter((kept) => claimedHead(kept).size < size), note])
    let taken = 0
    try {
      for (const record of log.records(0, size)) {
        if (!verifier.push(record)) break
        taken += 1
        // Requests go on being answered while a long log is read.
        if (taken % ROWS_AT_ONCE === 0) await yieldToLoop()
      }
    } catch (cause) {
      verifier.unreadable(cause)
    }
    return verifier.report()
  }
}
