// A ztctl that runs while the test goes on, as in a second terminal: what it has printed so far, and its end.
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { eventually } from './eventually.ts'

export interface Ended {
  /** -1 when a signal ended it */
  readonly code: number
  readonly stdout: Buffer
  readonly stderr: Buffer
}

/** No test waits longer for the end of one. */
const LONGEST_MS = 120_000

export class Typed {
  readonly #child: ChildProcess
  readonly #out: Buffer[] = []
  readonly #err: Buffer[] = []
  /** Resolves when it has ended and all of its output is here. */
  readonly ended: Promise<Ended>

  constructor(argv: readonly string[], env: NodeJS.ProcessEnv) {
    const [file = '', ...args] = argv
    const limit = { timeout: LONGEST_MS, killSignal: 'SIGKILL' } as const
    this.#child = spawn(file, args, { env, stdio: ['ignore', 'pipe', 'pipe'], ...limit })
    this.#child.stdout?.on('data', (chunk: Buffer) => this.#out.push(chunk))
    this.#child.stderr?.on('data', (chunk: Buffer) => this.#err.push(chunk))
    this.ended = once(this.#child, 'close').then(([code]) => ({
      code: (code as number | null) ?? -1,
      stdout: this.stdout,
      stderr: this.stderr,
    }))
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  get stdout(): Buffer {
    return Buffer.concat(this.#out)
  }

  get stderr(): Buffer {
    return Buffer.concat(this.#err)
  }

  /** Waits until it has printed `text`; fails if it ends before. */
  printed(text: string): Promise<void> {
    return this.#until(JSON.stringify(text), () => this.stdout.includes(text))
  }

  /** Waits until it has printed that many bytes; fails if it ends before. */
  printedBytes(count: number): Promise<void> {
    return this.#until(`${count} bytes`, () => this.stdout.length >= count)
  }

  async #until(what: string, holds: () => boolean): Promise<void> {
    await eventually(`ztctl to print ${what}`, () => {
      if (holds()) return true
      if (!this.running) throw new Error(`ztctl ended before it printed ${what}:\n${this.stderr.toString()}`)
      return undefined
    })
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }
}
