// Pipes for the output of processes. Node makes socket pairs where a program expects a pipe, and then opening
// /dev/stdout fails inside; a named pipe that is opened and unlinked at once is a pipe like any other.
import { execFile } from 'node:child_process'
import { chownSync, closeSync, constants, mkdirSync, openSync, rmSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { ZtError } from '#shared/errors/error.ts'
import type { RunAs } from '../sandbox/sandbox.ts'

export interface PipeEnds {
  /** not blocking */
  readonly readFd: number
  readonly writeFd: number
}

const BATCH = 32
const REFILL_BELOW = 8
const PLACES = { PATH: '/usr/bin:/bin:/usr/local/bin:/run/current-system/sw/bin' }

/** Keeps some named pipes ready, since only another program can make one. */
export class FifoPool {
  readonly #dir: string
  #ready: string[] = []
  #made = 0
  #refilling: Promise<void> | undefined

  /** `dir` is emptied first: what is there was left by a keeper that is gone. */
  constructor(dir: string) {
    this.#dir = dir
    rmSync(dir, { recursive: true, force: true })
    mkdirSync(dir, { mode: 0o700 })
  }

  /** A new pipe that the user may open again through /dev/stdout. Errors: ZT-503-SANDBOX if there is no mkfifo. */
  async pipe(user: RunAs | undefined): Promise<PipeEnds> {
    return openPipe(await this.#take(), user)
  }

  /**
   * One descriptor with both ends of a pipe. Who inherits it and reads waits for a byte and never sees an end: if we
   * are gone, that byte does not come.
   */
  async gate(): Promise<number> {
    const path = await this.#take()
    try {
      return openSync(path, constants.O_RDWR)
    } finally {
      unlinkSync(path)
    }
  }

  async #take(): Promise<string> {
    while (this.#ready.length === 0) await this.refill()
    const path = this.#ready.pop() ?? ''
    if (this.#ready.length < REFILL_BELOW) this.#refillBehind()
    return path
  }

  async refill(): Promise<void> {
    this.#refilling ??= this.#make().finally(() => {
      this.#refilling = undefined
    })
    await this.#refilling
  }

  /** Nobody waits for it: a failure shows at the next `take` that finds nothing. */
  #refillBehind(): void {
    this.refill().catch(() => undefined)
  }

  async #make(): Promise<void> {
    const paths = Array.from({ length: BATCH }, (_, index) => join(this.#dir, `${this.#made + index}`))
    this.#made += BATCH
    try {
      await promisify(execFile)('mkfifo', ['-m', '600', '--', ...paths], { env: PLACES })
    } catch (cause) {
      throw new ZtError('ZT-503-SANDBOX', 'mkfifo failed: install coreutils, free the disk', { cause })
    }
    this.#ready.push(...paths)
  }
}

function openPipe(path: string, user: RunAs | undefined): PipeEnds {
  if (user !== undefined) chownSync(path, user.uid, user.gid)
  // A reader first: without one, opening the other end would block.
  const readFd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    return { readFd, writeFd: openSync(path, constants.O_WRONLY) }
  } catch (cause) {
    closeSync(readFd)
    throw cause
  } finally {
    unlinkSync(path)
  }
}
