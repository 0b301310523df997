// Where the socket of a task lies on the host: a folder of its own, beside the workspaces and hidden like them in every
// sandbox but in the task's own, where this one folder is shown. It outlives the agent: the next one listens there again.
import { closeSync, constants, fstatSync, mkdirSync, openSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { geteuid } from 'node:process'
import { ZtError, isZtError } from '#shared/errors/error.ts'
import { parseProcId, type ProcId } from '#shared/identity/names.ts'
import { requireOwnRoot } from '../sandbox/workspace.ts'

/** sockaddr_un(7): a longer path cannot be bound. */
const MAX_SOCKET_PATH_BYTES = 107

// No workspace is named with a leading dot.
const placesDir = (workspaceRoot: string): string => join(workspaceRoot, '.workload')

export function placeOf(workspaceRoot: string, proc: ProcId): string {
  return join(placesDir(workspaceRoot), proc)
}

export function socketOf(workspaceRoot: string, proc: ProcId): string {
  return join(placeOf(workspaceRoot, proc), 'workload.sock')
}

/**
 * Makes the folder of a task that is about to start. Only the agent may change what is in it; who may use the socket is
 * for the socket's own mode. ZT-412-FACT (details.fact) where the path of its socket would be too long, or others may
 * write to the root of the workspaces.
 */
export function makePlace(workspaceRoot: string, proc: ProcId): void {
  if (Buffer.byteLength(socketOf(workspaceRoot, proc)) > MAX_SOCKET_PATH_BYTES)
    throw refuse('workspaceRoot is too long for the socket of a task')
  requireOwnRoot(workspaceRoot)
  mkdirSync(placesDir(workspaceRoot), { recursive: true, mode: 0o711 })
  mkdirSync(placeOf(workspaceRoot, proc), { mode: 0o711 })
}

/** The open folder, for the keeper to show: what is shown is what was checked. The caller closes it. ZT-412-FACT. */
export function openPlace(workspaceRoot: string, proc: ProcId): number {
  let fd: number
  try {
    const place = placeOf(workspaceRoot, proc)
    fd = openSync(place, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  } catch (cause) {
    throw new ZtError('ZT-412-FACT', 'the socket of the task is not there', {
      cause,
      details: { fact: 'workload-socket' },
    })
  }
  const stat = fstatSync(fd)
  if (stat.uid === geteuid?.() && (stat.mode & 0o022) === 0) return fd
  closeSync(fd)
  throw refuse('others may change the folder of the socket')
}

/** The tasks that have a folder: those that run, and those whose end the hub has not heard of. */
export function placedTasks(workspaceRoot: string): ProcId[] {
  return namesIn(placesDir(workspaceRoot)).flatMap((name) => {
    try {
      return [parseProcId(name)]
    } catch (error) {
      if (isZtError(error, 'ZT-422-NAME')) return []
      throw error
    }
  })
}

export function removePlace(workspaceRoot: string, proc: ProcId): void {
  rmSync(placeOf(workspaceRoot, proc), { recursive: true, force: true })
}

function namesIn(dir: string): readonly string[] {
  try {
    return readdirSync(dir)
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return []
    throw cause
  }
}

function refuse(message: string): ZtError {
  return new ZtError('ZT-412-FACT', message, { details: { fact: 'workload-socket' } })
}
