// From a name to an open file and its digest. The digest is of the bytes of the descriptor that is held, and it is this
// inode that runs: of the file itself, or of a copy if the user of workloads could write to it. Scripts are the file that
// was named; the program that interprets them is hashed and held as well.
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  openSync,
  read,
  readlinkSync,
  realpathSync,
  statSync,
  type BigIntStats,
} from 'node:fs'
import { join, posix } from 'node:path'
import { promisify } from 'node:util'
import { ZtError } from '#shared/errors/error.ts'
import { closedAncestor, isWithin, mayExecute, mayWrite } from '../sandbox/access.ts'
import { WORKSPACE } from '../sandbox/profile.ts'
import type { BoundFile, RunAs } from '../sandbox/sandbox.ts'
import { workspacePath } from '../sandbox/workspace.ts'
import type { ProgramCopies } from './copies.ts'
import { hashFile, requireWanted } from './hashing.ts'
import type { HashedFile, PrepareRequest } from './protocol.ts'

const readAt = promisify(read)
// linux/fcntl.h; the same on x86_64 and aarch64. Opens a name and nothing behind it, so no device notices.
const O_PATH = 0o10000000
// linux/binfmts.h: BINPRM_BUF_SIZE, how much of a script's first line the kernel looks at.
const FIRST_LINE_BYTES = 256
// elf(5)
const ELF_MAGIC = Buffer.from('\x7fELF', 'latin1')
const ELF_HEADER_BYTES = 64
const ELF_SEGMENT_BYTES = 56
const ELF_CLASS_64 = 2
const ELF_EXECUTABLE = 2
const ELF_SHARED = 3
const ELF_MACHINE: ReadonlyMap<string, number> = new Map([
  ['x64', 62],
  ['arm64', 183],
])
// A file that changed this shortly ago may change again without a new time stamp.
const SETTLED_MS = 2000
const MAX_CACHED = 4096

/** An open program. `close` once; nothing of it is used afterwards. */
export interface OpenExecutable {
  readonly file: HeldFile
  readonly interpreter: HeldFile | undefined
  close(): void
}

export interface HeldFile extends HashedFile, BoundFile {
  /** what was named; `fd` is this one too, or a copy of it */
  readonly named: number
  /** dev, inode, size and times of `named` at the moment of hashing */
  readonly mark: string
  close(): void
}

export interface OpenTerms {
  /** folders of which no program runs: the sandbox does not show them */
  readonly hidden: readonly string[]
  /** aborted when nobody waits for it any more */
  readonly signal: AbortSignal
}

/** Opens and hashes programs; remembers digests of files that have not changed since. */
export class ExecutableStore {
  readonly #digests = new Map<string, string>()
  readonly #now: () => number
  readonly #copies: ProgramCopies

  /** `now`: milliseconds since 1970 */
  constructor(now: () => number, copies: ProgramCopies) {
    this.#now = now
    this.#copies = copies
  }

  /**
   * Errors: ZT-404-EXE if there is no such program; ZT-403-EXE if it is not a file that the user may execute;
   * ZT-412-FACT with details.fact "exe-size"; ZT-503-SANDBOX if nobody waits for it any more.
   */
  async open(request: PrepareRequest, terms: OpenTerms): Promise<OpenExecutable> {
    requireWanted(terms.signal)
    const place = locate(request)
    const by = { ...terms, runAs: request.runAs, root: request.workspace.root }
    const file = await this.#hold(place, by)
    try {
      const line = await interpreterOf(file.fd)
      const interpreter =
        line === undefined ? undefined : await this.#hold({ host: line, workspace: undefined }, by)
      return {
        file,
        interpreter,
        close: () => {
          file.close()
          interpreter?.close()
        },
      }
    } catch (cause) {
      file.close()
      throw cause
    }
  }

  async #hold({ host, workspace }: Place, asker: Asker): Promise<HeldFile> {
    const { runAs, hidden } = asker
    const named = openProgram(host)
    try {
      const realpath = readlinkSync(`/proc/self/fd/${named}`)
      const shown = workspace === undefined ? undefined : insideWorkspace(realpath, realpathSync(workspace))
      if (shown === undefined) requireShown(realpath, hidden)
      requireExecutable(named, realpath, { runAs, base: shown?.base ?? '/' })
      const safe = shown === undefined && !mayWrite(fstatSync(named), runAs)
      const hashed = safe ? await this.#digest(named, asker) : await this.#copy(named, asker)
      return { ...hashed, named, realpath, path: shown?.path ?? realpath }
    } catch (cause) {
      closeSync(named)
      throw cause
    }
  }

  async #digest(fd: number, { signal }: Asker): Promise<Hashed> {
    const before = fstatSync(fd, { bigint: true })
    const mark = markOf(before)
    const close = (): void => closeSync(fd)
    const known = this.#digests.get(mark)
    if (known !== undefined) return { fd, sha256: known, mark, close }
    const sha256 = await hashFile(fd, { signal })
    requireMark(fd, mark)
    const settled = Number(before.ctimeNs / 1_000_000n) + SETTLED_MS < this.#now()
    if (settled) this.#remember(mark, sha256)
    return { fd, sha256, mark, close }
  }

  /** No digest is remembered here: whoever may write may do so without a trace in the times of the file. */
  async #copy(named: number, { root, signal }: Asker): Promise<Hashed> {
    const mark = markOf(fstatSync(named, { bigint: true }))
    const target = this.#copies.create(root)
    let sha256: string
    try {
      sha256 = await hashFile(named, { into: target.fd, signal })
      requireMark(named, mark)
    } catch (cause) {
      target.discard()
      throw cause
    }
    const copy = target.seal()
    const close = (): void => {
      copy.close()
      closeSync(named)
    }
    return { fd: copy.fd, sha256, mark, close }
  }

  #remember(mark: string, sha256: string): void {
    const [oldest] = this.#digests.keys()
    if (this.#digests.size >= MAX_CACHED && oldest !== undefined) this.#digests.delete(oldest)
    this.#digests.set(mark, sha256)
  }
}

/** Errors: ZT-412-FACT with details.fact "exe" if a held file was changed, or taken from its path, since it was hashed. */
export function requireUnchanged(file: HeldFile): void {
  const same =
    markOf(fstatSync(file.named, { bigint: true })) === file.mark &&
    readlinkSync(`/proc/self/fd/${file.named}`) === file.realpath
  if (!same)
    throw new ZtError('ZT-412-FACT', 'the program changed after it was hashed', { details: { fact: 'exe' } })
}

function requireMark(fd: number, mark: string): void {
  if (markOf(fstatSync(fd, { bigint: true })) !== mark)
    throw new ZtError('ZT-403-EXE', 'the program changed while it was read')
}

/** What tells one state of a file from another, as far as the kernel says. */
function markOf(stat: BigIntStats): string {
  return [stat.dev, stat.ino, stat.size, stat.mtimeNs, stat.ctimeNs].join(':')
}

/** True if `path` is that file, or its copy, now. */
export function isSameFile(path: string, file: HeldFile): boolean {
  const held = fstatSync(file.fd, { bigint: true })
  const found = statSync(path, { bigint: true, throwIfNoEntry: false })
  return found !== undefined && found.dev === held.dev && found.ino === held.ino
}

interface Place {
  readonly host: string
  /** of the host, if the program was named as one of the workspace */
  readonly workspace: string | undefined
}

interface Asker extends OpenTerms {
  readonly runAs: RunAs
  /** of all workspaces */
  readonly root: string
}

type Hashed = Pick<HeldFile, 'fd' | 'sha256' | 'mark' | 'close'>

function locate({ path, searchPath, runAs, workspace }: PrepareRequest): Place {
  if (path.includes('/')) {
    if (!path.startsWith('/'))
      throw new ZtError('ZT-404-EXE', 'the program must be a bare name or an absolute path')
    const normal = posix.normalize(path)
    if (!isWithin(normal, WORKSPACE)) return { host: normal, workspace: undefined }
    const folder = workspacePath(workspace)
    return { host: join(folder, posix.relative(WORKSPACE, normal)), workspace: folder }
  }
  // As execvp(3) does: the first that can be executed, also if another of that name comes before it.
  const found = searchPath
    .map((folder) => join(folder, path))
    .find((candidate) => isProgram(candidate, runAs))
  if (found === undefined) throw new ZtError('ZT-404-EXE', "the program is not on the node's search path")
  return { host: found, workspace: undefined }
}

function isProgram(path: string, runAs: RunAs): boolean {
  try {
    const stat = statSync(path)
    return stat.isFile() && mayExecute(stat, runAs)
  } catch {
    return false
  }
}

/** Opens the name first and the content only when that is a regular file: no pipe blocks, no device is touched. */
function openProgram(path: string): number {
  let name: number
  try {
    name = openSync(path, O_PATH)
  } catch (cause) {
    throw new ZtError('ZT-404-EXE', 'there is no such program on the node', { cause })
  }
  try {
    if (!fstatSync(name).isFile()) throw new ZtError('ZT-403-EXE', 'the program is not a regular file')
    return openSync(`/proc/self/fd/${name}`, constants.O_RDONLY)
  } catch (cause) {
    if (cause instanceof ZtError) throw cause
    throw new ZtError('ZT-403-EXE', 'the program cannot be read, and so not hashed', { cause })
  } finally {
    closeSync(name)
  }
}

function requireShown(realpath: string, hidden: readonly string[]): void {
  if (hidden.some((folder) => isWithin(realpath, resolved(folder))))
    throw new ZtError('ZT-403-EXE', 'the program lies in a folder that no process may see')
}

/** Without links, as far as it exists. */
function resolved(folder: string): string {
  return existsSync(folder) ? realpathSync(folder) : folder
}

/** Where the sandbox shows a file of the workspace; undefined if a link led out of it. */
function insideWorkspace(
  realpath: string,
  base: string,
): { readonly path: string; readonly base: string } | undefined {
  if (!isWithin(realpath, base)) return undefined
  return { path: posix.join(WORKSPACE, posix.relative(base, realpath)), base }
}

function requireExecutable(fd: number, realpath: string, by: { runAs: RunAs; base: string }): void {
  const stat = fstatSync(fd)
  // A file without a name has no place where the sandbox could show it; the kernel appends this to its last one.
  if (stat.nlink === 0 || realpath.endsWith(' (deleted)'))
    throw new ZtError('ZT-404-EXE', 'the program was deleted')
  const closed = closedAncestor(realpath, by.runAs, by.base)
  if (closed !== undefined || !mayExecute(stat, by.runAs)) {
    throw new ZtError('ZT-403-EXE', 'the user of workloads may not execute this program')
  }
}

/** As binfmt_elf.c checks it: 64-bit, executable or position-independent, of this architecture, with segments. */
function isProgramHeader(header: Buffer): boolean {
  if (header.length < ELF_HEADER_BYTES) return false
  const type = header.readUInt16LE(16)
  const segments = header.readUInt16LE(56)
  return (
    header.readUInt8(4) === ELF_CLASS_64 &&
    (type === ELF_EXECUTABLE || type === ELF_SHARED) &&
    header.readUInt16LE(18) === ELF_MACHINE.get(process.arch) &&
    header.readUInt16LE(54) === ELF_SEGMENT_BYTES &&
    segments > 0
  )
}

/** The program that runs a script, or undefined for a program of its own. */
async function interpreterOf(fd: number): Promise<string | undefined> {
  const buffer = Buffer.alloc(FIRST_LINE_BYTES)
  const { bytesRead } = await readAt(fd, buffer, 0, FIRST_LINE_BYTES, 0)
  const start = buffer.subarray(0, bytesRead)
  if (start.subarray(0, 4).equals(ELF_MAGIC)) {
    // What the kernel refuses as no program, execvp(3) would hand to the shell, which is not what was named.
    if (isProgramHeader(start)) return undefined
    throw new ZtError('ZT-403-EXE', 'the program is not one for this machine')
  }
  // execvp(3) hands what is neither to the shell.
  if (!start.subarray(0, 2).equals(Buffer.from('#!'))) return '/bin/sh'
  const line = start.subarray(2).toString('utf8').split('\n', 1)[0] ?? ''
  const path = /^[ \t]*(\/[^ \t\0]+)/.exec(line)?.[1]
  if (path === undefined)
    throw new ZtError('ZT-403-EXE', 'the first line of the script names no absolute path')
  return path
}
