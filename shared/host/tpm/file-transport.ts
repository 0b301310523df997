// A TPM behind a character device: one write is one command, and reading gives its response. The kernel's resource manager
// (/dev/tpmrm0) gives every open file its own slots, and flushes what is left in them when the file is closed.
import { open, type FileHandle } from 'node:fs/promises'
import { ZtError } from '#shared/errors/error.ts'
import { MAX_TPM_BYTES } from '#shared/tpm/wire.ts'
import { announcedBytes, type TpmTransport } from './transport.ts'

/**
 * How many commands are overdue on each device. A device that hangs keeps a thread of the process in each of them, whoever opened
 * it, and the process has four for all of its files: so while one is overdue nobody here asks that device anything.
 */
const overdue = new Map<string, number>()

export function createFileTransport(path: string): TpmTransport {
  return new FileTransport(path)
}

class FileTransport implements TpmTransport {
  readonly #path: string
  #file: FileHandle | undefined
  // After a deadline the response is still to come, and would be read as the answer to the next command. Until the kernel has
  // given it, nothing is sent; then the file is opened anew, which also drops what the command left in its slots.
  #overdue = false

  constructor(path: string) {
    this.#path = path
  }

  async exchange(command: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    if (overdue.has(this.#path))
      throw new ZtError('ZT-503-TPM', 'tpm: an earlier command is overdue', {
        details: { reason: 'overdue' },
      })
    const answer = this.#exchange(command)
    const { promise: late, reject } = Promise.withResolvers<never>()
    const onAbort = (): void => {
      this.#overdue = true
      count(this.#path, 1)
      void answer.catch(() => undefined).then(() => this.#reopen())
      reject(new Error('overdue'))
    }
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      return await Promise.race([answer, late])
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  async close(): Promise<void> {
    // An overdue command holds the file: #reopen() closes it when the command ends, or the process's end does.
    if (this.#overdue) return
    const file = this.#file
    this.#file = undefined
    await file?.close()
  }

  // Opening is within the deadline as well: a driver may wait there too.
  async #exchange(command: Uint8Array): Promise<Uint8Array> {
    this.#file ??= await open(this.#path, 'r+')
    return exchange(this.#file, command)
  }

  async #reopen(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    await file?.close().catch(() => undefined)
    this.#overdue = false
    count(this.#path, -1)
  }
}

function count(path: string, change: 1 | -1): void {
  const commands = (overdue.get(path) ?? 0) + change
  if (commands === 0) overdue.delete(path)
  else overdue.set(path, commands)
}

async function exchange(file: FileHandle, command: Uint8Array): Promise<Uint8Array> {
  const { bytesWritten } = await file.write(command, 0, command.length, null)
  if (bytesWritten !== command.length) throw new Error('the device took a part of the command')
  // One more than a response may have, so that a longer one is seen to be longer.
  const buffer = Buffer.alloc(MAX_TPM_BYTES + 1)
  let length = 0
  // The kernel gives the whole in one read; a device that gives parts is read until it has given what it announced.
  while (length < (announcedBytes(buffer.subarray(0, length)) ?? MAX_TPM_BYTES)) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length, null)
    if (bytesRead === 0) break
    length += bytesRead
  }
  return new Uint8Array(buffer.subarray(0, length))
}
