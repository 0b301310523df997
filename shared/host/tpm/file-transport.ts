// A TPM behind a character device: one write is one command, and reading gives its response. The kernel's resource manager
// (/dev/tpmrm0) gives every open file its own slots, and flushes what is left in them when the file is closed.
import { open, type FileHandle } from 'node:fs/promises'
import { ZtError } from '#shared/errors/error.ts'
import { MAX_TPM_BYTES } from '#shared/tpm/wire.ts'
import { announcedBytes, type TpmTransport } from './transport.ts'

export function createFileTransport(path: string): TpmTransport {
  return new FileTransport(path)
}

class FileTransport implements TpmTransport {
  readonly #path: string
  #file: FileHandle | undefined
  // After a deadline the response is still to come: it would be read as the answer to the next command.
  #overdue = false

  constructor(path: string) {
    this.#path = path
  }

  async exchange(command: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    if (this.#overdue) throw new ZtError('ZT-503-TPM', 'tpm: an earlier command is overdue; open it again')
    this.#file ??= await open(this.#path, 'r+')
    const file = this.#file
    const { promise: late, reject } = Promise.withResolvers<never>()
    const onAbort = (): void => {
      this.#overdue = true
      reject(new Error('overdue'))
    }
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      return await Promise.race([exchange(file, command), late])
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  async close(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    // A read that never ends would hold the close; the kernel's own deadline ends it, and the process's end does.
    if (this.#overdue) void file?.close().catch(() => undefined)
    else await file?.close()
  }
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
