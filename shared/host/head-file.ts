// The newest signed head beside the database, outside its write-ahead log: a log that comes back shorter than what it
// signed (a lost or rolled-back database) is noticed before it signs a second history.
import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs'

const MODE = 0o600

export class HeadFile {
  readonly #path: string
  readonly #fd: number

  /** Opens the file, or makes it, readable by its owner alone. Throws what the system says. */
  constructor(path: string) {
    this.#path = path
    this.#fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, MODE)
  }

  /** The note that was written last, or undefined when there is none. */
  read(): string | undefined {
    const text = readFileSync(this.#path, 'utf8')
    return text === '' ? undefined : text
  }

  /**
   * One write over the old note: heads of one log never get shorter. Not synced: the rows are, before; after a power
   * cut an old or torn note says less, never anything wrong.
   */
  write(note: string): void {
    writeSync(this.#fd, note, 0)
  }

  close(): void {
    closeSync(this.#fd)
  }
}
