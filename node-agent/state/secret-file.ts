// Files that hold keys: made once, never overwritten, readable by their owner alone. A file that somebody else could
// have read or replaced is refused, not repaired.
import { closeSync, constants, fstatSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs'
import { geteuid } from 'node:process'
import { dirname } from 'node:path'

import { ZtError } from '#shared/errors/error.ts'

const MAX_BYTES = 64 * 1024

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

/** Makes directory entries durable: without it a file can be gone after a power cut although it was synced itself. */
export function syncDirectory(path: string): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/**
 * Creates `path` with mode 0600 and makes it durable before it returns.
 * Errors: ZT-409-EXISTS if anything is there already; ZT-400-CONFIG if it cannot be written.
 */
export function createSecretFile(path: string, content: string | Uint8Array): void {
  let fd: number
  try {
    fd = openSync(
      path,
      constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
      0o600,
    )
  } catch (cause) {
    const exists = cause instanceof Error && 'code' in cause && cause.code === 'EEXIST'
    if (exists) throw new ZtError('ZT-409-EXISTS', `${path} exists already`, { cause })
    throw new ZtError('ZT-400-CONFIG', `${path} cannot be created`, { cause })
  }
  try {
    writeSync(fd, typeof content === 'string' ? Buffer.from(content, 'utf8') : content)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  syncDirectory(dirname(path))
}

/**
 * The content of a key file, or undefined if there is none.
 * Errors: ZT-400-CONFIG if it is not a regular file of this user that is closed to everybody else.
 */
export function readSecretFile(path: string): Buffer | undefined {
  let fd: number
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  } catch (cause) {
    if (isMissing(cause)) return undefined
    throw new ZtError('ZT-400-CONFIG', `${path} cannot be opened`, { cause })
  }
  try {
    // Checked on the open descriptor: what is read is what was checked.
    const stat = fstatSync(fd)
    const closed = stat.isFile() && stat.uid === geteuid?.() && (stat.mode & 0o077) === 0 && stat.nlink === 1
    if (!closed) throw new ZtError('ZT-400-CONFIG', `${path} must be a file of this user with mode 0600`)
    if (stat.size > MAX_BYTES) throw new ZtError('ZT-400-CONFIG', `${path} is too large`)
    return readFileSync(fd)
  } finally {
    closeSync(fd)
  }
}
