// The one place where a session may be: a folder in memory (tmpfs), mode 0700, ours. A private key that reached a disk
// would outlive the session, so anything else is refused and nothing is written.
import { existsSync, statfsSync } from 'node:fs'
import { dirname, isAbsolute, join } from 'node:path'
import { ZtError } from '#shared/errors/error.ts'
import type { Environment } from '../grammar/invocation.ts'
import { claimDirectory } from './owned-files.ts'

// statfs(2): TMPFS_MAGIC and RAMFS_MAGIC.
const IN_MEMORY: ReadonlySet<number> = new Set([0x01021994, 0x858458f6])

export interface SessionDirOptions {
  readonly env: Environment
  readonly uid: number
}

/** The folder for sessions, made if need be. Errors: ZT-412-SESSION-DIR, naming the folder and what is wrong. */
export function openSessionDir({ env, uid }: SessionDirOptions): string {
  const path = choosePath(env, uid)
  const fault = tryClaim(path, uid)
  if (fault !== undefined) throw refuse(path, fault)
  return path
}

function choosePath(env: Environment, uid: number): string {
  const named = env['ZTMESH_RUNTIME_DIR'] ?? ''
  if (named !== '') {
    if (!isAbsolute(named)) throw refuse('ZTMESH_RUNTIME_DIR', 'is not an absolute path')
    return named
  }
  const runtime = env['XDG_RUNTIME_DIR'] ?? ''
  if (isAbsolute(runtime) && isInMemory(runtime)) return join(runtime, 'ztmesh')
  return `/dev/shm/ztmesh-${uid}`
}

function tryClaim(path: string, uid: number): string | undefined {
  try {
    if (!isInMemory(parentOf(path))) return 'is on a disk, not in memory (tmpfs)'
    const fault = claimDirectory(path, uid)
    if (fault !== undefined) return fault
    // Again, now that the folder itself is there: it could be a mount point of its own.
    return isInMemory(path) ? undefined : 'is on a disk, not in memory (tmpfs)'
  } catch (error) {
    return `cannot be used (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`
  }
}

// The nearest folder that is there already: nothing is made on a file system that turns out to be a disk.
function parentOf(path: string): string {
  let at = path
  while (at !== '/' && !existsSync(at)) at = dirname(at)
  return at
}

/** True if the file system of `path` keeps nothing on a disk. */
export function isInMemory(path: string): boolean {
  try {
    return IN_MEMORY.has(statfsSync(path).type)
  } catch {
    return false
  }
}

function refuse(path: string, fault: string): ZtError {
  return new ZtError('ZT-412-SESSION-DIR', `session folder ${path} ${fault}`, {
    details: {
      hint: 'a session needs a tmpfs folder of yours with mode 0700: set ZTMESH_RUNTIME_DIR to one, for example below /dev/shm',
    },
  })
}
