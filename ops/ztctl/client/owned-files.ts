// Files that only their owner may read or change: written whole or not at all, and never read when somebody else could
// have written them. Trusts the kernel, and root.
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'

/** What is wrong with a file or folder, or undefined: the caller knows which error that is. */
export type Fault = string | undefined

const OTHERS = 0o077
const OTHERS_WRITE = 0o022

/** Makes a folder with mode 0700 if there is none, and says what is wrong with it. */
export function claimDirectory(path: string, uid: number): Fault {
  mkdirSync(path, { recursive: true, mode: 0o700 })
  return directoryFault(path, uid)
}

/** Says what is wrong with a folder that must be ours alone: a link, another owner, a mode that lets others in. */
export function directoryFault(path: string, uid: number): Fault {
  // lstat and not stat: a link here would let whoever owns it choose the folder.
  const stats = lstatSync(path)
  if (stats.isSymbolicLink()) return 'is a symbolic link'
  if (!stats.isDirectory()) return 'is not a folder'
  if (stats.uid !== uid) return `belongs to uid ${stats.uid}, not to uid ${uid}`
  return (stats.mode & OTHERS) === 0 ? undefined : `lets others in (mode ${octal(stats.mode)})`
}

export interface OwnedRead {
  readonly uid: number
  readonly maxBytes: number
  /** others may read it (never write it), and it may be root's: what an administrator lays out for all */
  readonly readableByOthers?: boolean
}

/** The bytes of a file of ours, or undefined if there is none. `refuse` makes the error for one that is not as it must be. */
export function readOwned(
  path: string,
  options: OwnedRead,
  refuse: (fault: string) => Error,
): Uint8Array | undefined {
  const file = openExisting(path, refuse)
  if (file === undefined) return undefined
  try {
    const stats = fstatSync(file)
    const forbidden = options.readableByOthers === true ? OTHERS_WRITE : OTHERS
    if (!stats.isFile()) throw refuse('is not a regular file')
    const shared = options.readableByOthers === true && stats.uid === 0
    if (stats.uid !== options.uid && !shared)
      throw refuse(`belongs to uid ${stats.uid}, not to uid ${options.uid}`)
    if ((stats.mode & forbidden) !== 0) throw refuse(`lets others in (mode ${octal(stats.mode)})`)
    if (stats.size > options.maxBytes) throw refuse(`is larger than ${options.maxBytes} bytes`)
    const bytes = Buffer.alloc(stats.size)
    return bytes.subarray(0, readSync(file, bytes, 0, bytes.length, 0))
  } finally {
    closeSync(file)
  }
}

function openExisting(path: string, refuse: (fault: string) => Error): number | undefined {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return undefined
    if (code === 'ELOOP') throw refuse('is a symbolic link')
    throw refuse(`cannot be opened (${code ?? 'unknown'})`)
  }
}

/** Writes a file of mode 0600 beside its place and renames it there: a reader sees the old one or the new one. */
export function writeOwned(folder: string, name: string, bytes: Uint8Array | string): void {
  const temporary = join(folder, `.${name}.${randomBytes(6).toString('hex')}`)
  try {
    writeNew(temporary, bytes)
    renameSync(temporary, join(folder, name))
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
}

/** Writes a new file of mode 0600; EEXIST if the name is taken, even by a dangling link. */
export function writeNew(path: string, bytes: Uint8Array | string): void {
  const file = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
  try {
    const data = typeof bytes === 'string' ? Buffer.from(bytes) : bytes
    let written = 0
    while (written < data.length) written += writeSync(file, data, written)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, '0')
}
