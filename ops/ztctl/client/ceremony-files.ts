// Files on their way to and from the ceremony. What comes in is bounded and believed by nobody here; what goes out never
// takes the place of another file, so that a request which was reviewed is the one that was made.
import { closeSync, constants, fstatSync, fsyncSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { ZtError } from '#shared/errors/error.ts'
import { quoted, usageError } from '../grammar/usage-error.ts'

/** The whole of a regular file. Errors: ZT-400-USAGE if it cannot be read, ZT-413-SIZE. */
export function readCeremonyFile(path: string, maxBytes: number): Uint8Array {
  const fd = opened(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const stats = fstatSync(fd)
    if (!stats.isFile()) throw usageError(`${quoted(path)} is not a file`, 'name a file')
    if (stats.size > maxBytes) throw new ZtError('ZT-413-SIZE', `${quoted(path)} is over ${maxBytes} bytes`)
    const bytes = Buffer.alloc(stats.size)
    return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0))
  } finally {
    closeSync(fd)
  }
}

/** The trimmed text of a file that is ASCII. Errors: those of readCeremonyFile(). */
export function readCeremonyText(path: string, maxBytes: number): string {
  return Buffer.from(readCeremonyFile(path, maxBytes)).toString('latin1').trim()
}

/** Claims the name of an output before anything is asked for. Errors: ZT-409-EXISTS. */
export function claimOutput(path: string): Output {
  return new Output(path, opened(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL))
}

/** A new, empty file: filled once, or taken away again. */
export class Output {
  readonly #path: string
  readonly #fd: number

  constructor(path: string, fd: number) {
    this.#path = path
    this.#fd = fd
  }

  /** Runs `make`, and writes what it makes; if either fails there is no file. */
  async fill<T>(make: () => Promise<{ readonly bytes: Uint8Array; readonly said: T }>): Promise<T> {
    try {
      const { bytes, said } = await make()
      writeSync(this.#fd, bytes)
      fsyncSync(this.#fd)
      return said
    } catch (error) {
      rmSync(this.#path, { force: true })
      throw error
    } finally {
      closeSync(this.#fd)
    }
  }
}

function opened(path: string, flags: number): number {
  try {
    return openSync(path, flags, 0o644)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') throw new ZtError('ZT-409-EXISTS', `${quoted(path)} exists already`)
    throw usageError(`${quoted(path)} cannot be opened (${code ?? 'unknown'})`, 'name another file')
  }
}
