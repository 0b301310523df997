// Proves which account of this machine a client runs under, by the owner of a file that only that account could have
// made (as HTCondor's "FS" method does). The network address proves nothing and is not looked at.
import { constants } from 'node:fs'
import { chmod, lstat, mkdir, open, unlink, type FileHandle } from 'node:fs/promises'
import type { BigIntStats } from 'node:fs'
import { join } from 'node:path'
import { equalBytes } from '#shared/encoding/digest.ts'
import { ZtError } from '#shared/errors/error.ts'

// Everybody may make files here, nobody may list them, and only its owner may move or remove one (sticky).
const FOLDER_MODE = 0o1733
/** A file system may keep times only this exactly, milliseconds. */
const TIME_SLACK_MS = 2000

export interface ProofRequest {
  /** name within the folder, chosen by the hub */
  readonly file: string
  readonly uid: number
  readonly content: string
  /** when the file may have been made, UTC milliseconds */
  readonly from: number
  readonly until: number
}

function refuse(message: string, cause?: unknown): ZtError {
  return new ZtError('ZT-401-LOGIN', `login proof ${message}`, { cause })
}

function requireOwnMode(stats: BigIntStats): void {
  const mode = Number(stats.mode)
  if (!stats.isFile()) throw refuse('is not a regular file')
  // A second name could be a link that somebody else made to a file of the claimed account.
  if (stats.nlink !== 1n) throw refuse('has more than one name')
  if ((mode & 0o022) !== 0) throw refuse('can be written by others')
}

function requireTime(stats: BigIntStats, { from, until }: ProofRequest): void {
  // ctime as well: it changes when a file is moved or linked here, and no program can set it back.
  for (const at of [Number(stats.mtimeMs), Number(stats.ctimeMs)])
    if (at < from - TIME_SLACK_MS || at > until + TIME_SLACK_MS) throw refuse('was not made in this session')
}

async function readExactly(handle: FileHandle, length: number): Promise<Uint8Array> {
  // One byte more than expected tells a longer file.
  const buffer = new Uint8Array(length + 1)
  const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0)
  return buffer.subarray(0, bytesRead)
}

async function check(handle: FileHandle, request: ProofRequest): Promise<void> {
  const stats = await handle.stat({ bigint: true })
  requireOwnMode(stats)
  if (Number(stats.uid) !== request.uid) throw refuse('belongs to another account')
  requireTime(stats, request)
  const expected = Buffer.from(request.content, 'latin1')
  const found = await readExactly(handle, expected.length)
  if (!equalBytes(found, expected)) throw refuse('is not for this request')
}

export class ProofFolder {
  readonly path: string

  private constructor(path: string) {
    this.path = path
  }

  /** Makes the folder if it is missing. Throws ZT-400-CONFIG if what is there is not safe to use. */
  static async open(path: string): Promise<ProofFolder> {
    await mkdir(path, { recursive: true, mode: 0o755 })
    const stats = await lstat(path)
    const own = stats.isDirectory() && stats.uid === process.geteuid?.()
    if (!own) throw new ZtError('ZT-400-CONFIG', 'loginDir must be a folder that belongs to the hub itself')
    await chmod(path, FOLDER_MODE)
    return new ProofFolder(path)
  }

  /** Returns if the file proves the account; the file is removed either way. Throws ZT-401-LOGIN. */
  async verify(request: ProofRequest): Promise<void> {
    const path = join(this.path, request.file)
    // O_NOFOLLOW refuses a symbolic link, O_NONBLOCK a pipe that would keep us waiting; all checks are made on the open
    // descriptor, so what is checked is what is read.
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
    try {
      const handle = await openProof(path, flags)
      try {
        await check(handle, request)
      } finally {
        await handle.close()
      }
    } finally {
      await remove(path)
    }
  }
}

async function openProof(path: string, flags: number): Promise<FileHandle> {
  try {
    return await open(path, flags)
  } catch (cause) {
    throw refuse('is missing or cannot be opened', cause)
  }
}

// The proof has been judged by now, and its name is never used again: what cannot be removed (it is gone, or it is a
// folder) is only litter.
const LITTER: ReadonlySet<unknown> = new Set(['ENOENT', 'EISDIR', 'EPERM'])

async function remove(path: string): Promise<void> {
  try {
    await unlink(path)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && LITTER.has(error.code))) throw error
  }
}
