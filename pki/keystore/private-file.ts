// Files that hold secrets or create trust: read only if nobody else can, written whole or not at all, never over
// another one.
import { constants, fstatSync } from 'node:fs'
import { link, mkdir, open, stat, unlink, type FileHandle } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { basename, dirname, join } from 'node:path'
import { ZtError } from '#shared/errors/error.ts'

/**
 * The bytes of a regular file that belongs to this user or to root and that no group and nobody else can reach.
 * Throws ZT-400-CONFIG naming `what`; symbolic links are refused.
 */
export async function readPrivateFile(
  path: string,
  what: string,
  maxBytes: number = 4096,
): Promise<Uint8Array> {
  const handle = await openNoFollow(path, what)
  if (handle === undefined) throw config(`${what} does not exist`)
  return readHandle(handle, what, maxBytes)
}

/** As readPrivateFile(), or undefined if there is nothing at `path`. */
export async function findPrivateFile(
  path: string,
  what: string,
  maxBytes: number,
): Promise<Uint8Array | undefined> {
  const handle = await openNoFollow(path, what)
  return handle === undefined ? undefined : readHandle(handle, what, maxBytes)
}

async function readHandle(handle: FileHandle, what: string, maxBytes: number): Promise<Uint8Array> {
  try {
    requirePrivate(handle, what)
    // One octet more than allowed tells a file that is too long.
    const buffer = new Uint8Array(maxBytes + 1)
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0)
    if (bytesRead > maxBytes) throw config(`${what} is over ${maxBytes} bytes`)
    return buffer.subarray(0, bytesRead)
  } finally {
    await handle.close()
  }
}

/**
 * Creates `path` with `bytes`, durable when this returns. Throws ZT-409-EXISTS if anything is there, even a dangling
 * link. A crash leaves either no file or the whole one.
 */
export async function createFile(
  path: string,
  bytes: Uint8Array | string,
  mode: number = 0o600,
): Promise<void> {
  const folder = dirname(path)
  const draft = join(folder, `.${basename(path)}.${randomBytes(8).toString('hex')}`)
  const handle = await open(draft, 'wx', mode)
  try {
    await handle.writeFile(bytes)
    await handle.sync()
  } finally {
    await handle.close()
  }
  try {
    // If we crash before this, only the draft is there. link() fails where rename() would overwrite.
    await link(draft, path)
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw error
    throw new ZtError('ZT-409-EXISTS', `file "${basename(path)}" exists already`, { cause: error })
  } finally {
    await unlink(draft)
  }
  await syncFolder(folder)
}

/** Makes the folder if it is missing, and refuses one that others can reach (ZT-400-CONFIG naming `what`). */
export async function privateFolder(path: string, what: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 })
  const found = await stat(path)
  if (!found.isDirectory() || (found.mode & 0o077) !== 0 || !isOwn(found.uid)) {
    throw config(`${what} is not a folder of this user alone (mode 0700)`)
  }
}

export function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

async function openNoFollow(path: string, what: string): Promise<FileHandle | undefined> {
  try {
    // Without O_NONBLOCK a named pipe would keep us waiting for its writer.
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined
    throw new ZtError('ZT-400-CONFIG', `${what} cannot be opened`, { cause: error })
  }
}

function requirePrivate(handle: FileHandle, what: string): void {
  const found = fstatSync(handle.fd)
  if (!found.isFile()) throw config(`${what} is not a regular file`)
  if ((found.mode & 0o077) !== 0) throw config(`${what} can be reached by others (mode 0600 is needed)`)
  if (!isOwn(found.uid)) throw config(`${what} belongs to another user`)
}

function isOwn(uid: number): boolean {
  return uid === 0 || uid === process.geteuid?.()
}

/** What was created or removed in the folder so far stays so after a power cut. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, constants.O_RDONLY)
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

function config(message: string): ZtError {
  return new ZtError('ZT-400-CONFIG', message)
}
