// The one folder that a sandboxed process may write to. Workspaces lie side by side below one root that belongs to
// the agent; each belongs to the user that processes run as. Never a link, never another user's folder.
import {
  chownSync,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  realpathSync,
} from 'node:fs'
import { geteuid } from 'node:process'
import { basename, dirname, join, posix, sep } from 'node:path'
import { ZtError } from '#shared/errors/error.ts'
import { closedAncestor, isWithin } from './access.ts'
import { WORKSPACE } from './profile.ts'
import type { RunAs } from './sandbox.ts'

export interface WorkspaceRef {
  /** absolute; the configured folder of all workspaces */
  readonly root: string
  readonly name: string
}

export interface Workspace {
  /** where the host has it, without links */
  readonly path: string
  /** held open: it is this folder that the sandbox shows */
  readonly fd: number
}

const NAME = /^[a-z0-9](?:[a-z0-9._-]{0,62})$/

export function isWorkspaceName(name: string): boolean {
  return NAME.test(name)
}

export function workspacePath({ root, name }: WorkspaceRef): string {
  if (!isWorkspaceName(name)) refuse('workspace', 'the workspace name does not have the accepted form')
  return join(root, name)
}

/**
 * Opens a workspace, and makes it if it is not there. The caller closes `fd`.
 * Errors: ZT-412-FACT with details.fact "workspace" if it, or the root, is not a folder of the right user.
 */
export function openWorkspace(ref: WorkspaceRef, runAs: RunAs): Workspace {
  const path = workspacePath(ref)
  requireOwnRoot(ref.root)
  requireReachable(path, runAs)
  makeFolder(path, runAs)
  let fd: number
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  } catch (cause) {
    throw new ZtError('ZT-412-FACT', 'the workspace is not a folder', {
      cause,
      details: { fact: 'workspace' },
    })
  }
  // Checked on the open folder: what is bound is what was checked.
  if (fstatSync(fd).uid !== runAs.uid) {
    closeSync(fd)
    refuse('workspace', 'the workspace belongs to another user')
  }
  return { path: realpathSync(path), fd }
}

/** Makes the folder of all workspaces if it is not there. Errors: ZT-412-FACT if others may write to it. */
export function requireOwnRoot(root: string): void {
  if (lstatSync(root, { throwIfNoEntry: false }) === undefined)
    mkdirSync(root, { recursive: true, mode: 0o711 })
  const stat = lstatSync(root)
  // Whoever may write here may put another folder in place of a workspace.
  const ours = stat.isDirectory() && stat.uid === geteuid?.() && (stat.mode & 0o022) === 0
  if (!ours)
    refuse('workspace', 'the root of the workspaces must be a folder that only the agent may write to')
}

/** bubblewrap runs as the user, and finds what it binds by path before it compares it with the descriptor. */
function requireReachable(path: string, runAs: RunAs): void {
  const closed = closedAncestor(realpathSync(dirname(path)) + sep + basename(path), runAs)
  if (closed === undefined) return
  throw new ZtError(
    'ZT-412-FACT',
    `the user of workloads cannot enter ${closed}: chmod o+x it, or move workspaceRoot`,
    {
      details: { fact: 'workspace', path: closed.slice(0, 200) },
    },
  )
}

function makeFolder(path: string, runAs: RunAs): void {
  if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) return
  try {
    mkdirSync(path, { mode: 0o700 })
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'EEXIST') return
    throw new ZtError('ZT-412-FACT', 'the workspace cannot be made', {
      cause,
      details: { fact: 'workspace' },
    })
  }
  if (geteuid?.() !== runAs.uid) chownSync(path, runAs.uid, runAs.gid)
}

/**
 * The working directory as the sandbox names it. Looked at on the host, so links count: what a link leads to must be
 * inside as well. A process that swaps it afterwards only moves itself, inside its own sandbox.
 * Errors: ZT-412-FACT with details.fact "cwd" if it does not exist, is no folder or is outside the workspace.
 */
export function workingDirectory(cwd: string | undefined, workspace: Workspace): string {
  const wanted = posix.resolve(WORKSPACE, cwd ?? '.')
  if (!isWithin(wanted, WORKSPACE)) refuse('cwd', 'the working directory is outside the workspace')
  const onHost = join(workspace.path, posix.relative(WORKSPACE, wanted))
  const found = resolveFolder(onHost)
  if (!isWithin(found, workspace.path)) refuse('cwd', 'the working directory leads outside the workspace')
  return posix.join(WORKSPACE, posix.relative(workspace.path, found))
}

function resolveFolder(path: string): string {
  try {
    const found = realpathSync(path)
    if (lstatSync(found).isDirectory()) return found
  } catch (cause) {
    throw new ZtError('ZT-412-FACT', 'the working directory does not exist', {
      cause,
      details: { fact: 'cwd' },
    })
  }
  return refuse('cwd', 'the working directory is not a folder')
}

function refuse(fact: string, message: string): never {
  throw new ZtError('ZT-412-FACT', message, { details: { fact } })
}
