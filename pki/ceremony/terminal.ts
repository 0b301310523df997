// The terminal of a ceremony: /dev/tty itself, so that nothing that is piped in can answer for the people who sit there.
import { open, type FileHandle } from 'node:fs/promises'
import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { ReadStream, WriteStream } from 'node:tty'
import { ZtError } from '#shared/errors/error.ts'
import { unconfirmed, type Operator, type Question } from './operator.ts'

const ATTEMPTS = 3
const DEVICE = '/dev/tty'

export class TerminalOperator implements Operator {
  readonly present: boolean = true
  readonly attempts: number = ATTEMPTS
  readonly #handle: FileHandle
  readonly #input: ReadStream
  readonly #output: WriteStream

  private constructor(handle: FileHandle) {
    this.#handle = handle
    this.#input = new ReadStream(handle.fd)
    this.#output = new WriteStream(handle.fd)
  }

  /** ZT-400-USAGE if this process has no terminal. */
  static async open(): Promise<TerminalOperator> {
    try {
      return new TerminalOperator(await open(DEVICE, 'r+'))
    } catch (cause) {
      throw new ZtError('ZT-400-USAGE', 'a ceremony is held at a terminal, and there is none', { cause })
    }
  }

  tell(line: string): void {
    this.#output.write(`${line}\n`)
  }

  expect(): void {
    // People answer whatever they are asked.
  }

  async ask({ text, secret = false }: Question): Promise<string> {
    // readline echoes what is typed to its output: a secret is echoed to nowhere.
    const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
    const lines = createInterface({
      input: this.#input,
      output: secret ? silent : this.#output,
      terminal: true,
      historySize: 0,
    })
    try {
      // Only now, as the terminal itself would show what is typed before readline has turned that off.
      this.#output.write(`${text}\n> `)
      return await new Promise<string>((resolve, reject) => {
        lines.once('line', resolve)
        lines.once('SIGINT', () => reject(unconfirmed('the operator ended the ceremony')))
        lines.once('close', () => reject(unconfirmed('the terminal was closed')))
      })
    } finally {
      lines.close()
      if (secret) this.#output.write('\n')
    }
  }

  close(): void {
    this.#input.destroy()
    this.#output.destroy()
    this.#handle.close().catch(() => undefined) // the streams may have closed it
  }
}
