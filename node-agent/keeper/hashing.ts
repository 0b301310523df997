// The digest of an open file, within bounds: of size, and of the patience of whoever asked.
import { createHash } from 'node:crypto'
import { fstatSync, read, write } from 'node:fs'
import { promisify } from 'node:util'
import { ZtError } from '#shared/errors/error.ts'

export interface HashOptions {
  /** a descriptor that gets what is hashed */
  readonly into?: number
  /** aborted when nobody waits for the digest any more */
  readonly signal: AbortSignal
}

/** No program is larger. It counts by the file's length, whatever of it is on disk: a hole is hashed as well. */
export const MAX_PROGRAM_BYTES: number = 4 * 1024 ** 3
const CHUNK_BYTES = 1024 * 1024
const readAt = promisify(read)
const writeAt = promisify(write)

/**
 * base64url SHA-256. Errors: ZT-412-FACT with details.fact "exe-size" for a file that is larger than any program;
 * ZT-503-SANDBOX if nobody waits any more.
 */
export async function hashFile(fd: number, { into, signal }: HashOptions): Promise<string> {
  requireSize(fstatSync(fd).size)
  const hash = createHash('sha256')
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
  let position = 0
  for (;;) {
    requireWanted(signal)
    const { bytesRead } = await readAt(fd, chunk, 0, CHUNK_BYTES, position)
    if (bytesRead === 0) return hash.digest('base64url')
    // It may grow while it is read.
    requireSize(position + bytesRead)
    const bytes = chunk.subarray(0, bytesRead)
    hash.update(bytes)
    if (into !== undefined) await writeAll(into, bytes, position)
    position += bytesRead
  }
}

/** Errors: ZT-503-SANDBOX if nobody waits any more. */
export function requireWanted(signal: AbortSignal): void {
  if (signal.aborted) throw new ZtError('ZT-503-SANDBOX', 'whoever asked for the program is gone')
}

function requireSize(bytes: number): void {
  if (bytes <= MAX_PROGRAM_BYTES) return
  throw new ZtError('ZT-412-FACT', `a program has at most ${MAX_PROGRAM_BYTES} bytes`, {
    details: { fact: 'exe-size' },
  })
}

async function writeAll(fd: number, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const { bytesWritten } = await writeAt(fd, bytes, at, bytes.length - at, position + at)
    at += bytesWritten
  }
}
