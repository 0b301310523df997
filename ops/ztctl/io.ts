// What a verb may touch of the process it runs in, so that tests can stand in for a terminal.
import type { Clock } from '#shared/host/clock.ts'
import type { Environment } from './grammar/invocation.ts'

export interface TextSink {
  /** `done` is called when the chunk has left, or could not */
  write(chunk: string | Uint8Array, done?: () => void): unknown
  readonly isTTY?: boolean
  readonly columns?: number
}

export interface Io {
  readonly env: Environment
  readonly clock: Clock
  /** data only */
  readonly stdout: TextSink
  /** everything else */
  readonly stderr: TextSink
  /** Asks on the terminal; undefined when there is none to ask on. */
  readonly ask?: (question: string) => Promise<string>
  /**
   * Calls back for every signal that is sent to ztctl itself, and with SIGPIPE when nobody reads stdout any more;
   * returns what undoes it. Where nobody listens a signal ends ztctl.
   */
  onSignal(handler: (signal: NodeJS.Signals) => void): () => void
}
