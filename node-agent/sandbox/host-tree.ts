// What of the host's file tree goes into a sandbox, and under which paths the agent's own folders would show there.
import { existsSync, lstatSync, readFileSync, readdirSync, readlinkSync, realpathSync } from 'node:fs'
import { posix } from 'node:path'
import { ZtError } from '#shared/errors/error.ts'
import { closedAncestor, isWithin, mayExecute } from './access.ts'
import type { RunAs } from './sandbox.ts'

// Made anew in every sandbox, or shown in part.
const OWN = new Set(['dev', 'lost+found', 'proc', 'run', 'sys', 'tmp', 'workspace'])
// Without the file systems mounted below /sys, which hold the kernel's debugging, security and boot interfaces.
const SYS_FOLDERS = ['block', 'bus', 'class', 'dev', 'devices']
export const SYSTEM_FOLDERS: readonly string[] = [
  'bin',
  'etc',
  'lib',
  'lib32',
  'lib64',
  'libx32',
  'sbin',
  'usr',
]
const RESOLVER = '/etc/resolv.conf'

/** Arguments that show every folder of the host's root, read-only; one that the user may not enter is left empty. */
export function hostRoot(runAs: RunAs): string[] {
  const names = readdirSync('/').filter((name) => !OWN.has(name))
  return [...names.flatMap((name) => topLevel(name, runAs)), ...sysFolders()]
}

/** Arguments that show only what programs need to start. */
export function hostSystem(runAs: RunAs): string[] {
  return SYSTEM_FOLDERS.flatMap((name) => topLevel(name, runAs))
}

function topLevel(name: string, runAs: RunAs): string[] {
  const path = `/${name}`
  const stat = lstatSync(path, { throwIfNoEntry: false })
  if (stat === undefined) return []
  if (stat.isSymbolicLink()) return ['--symlink', readlinkSync(path), path]
  if (stat.isDirectory() && !mayExecute(stat, runAs)) return ['--perms', '0700', '--dir', path]
  // "try": it may be gone by the time that it is bound, and then it is not shown.
  return stat.isDirectory() || stat.isFile() ? ['--ro-bind-try', path, path] : []
}

function sysFolders(): string[] {
  return SYS_FOLDERS.map((name) => `/sys/${name}`).flatMap((path) => ['--ro-bind-try', path, path])
}

/** Arguments that show the file that /etc/resolv.conf links to, if that is below /run. */
export function resolver(): string[] {
  if (!existsSync(RESOLVER)) return []
  const target = realpathSync(RESOLVER)
  return isWithin(target, '/run') ? ['--ro-bind-try', target, target] : []
}

export interface Mount {
  /** major:minor */
  readonly device: string
  /** the folder of that file system which is shown at `point` */
  readonly root: string
  readonly point: string
}

/** Parses proc_pid_mountinfo(5); fields are separated by spaces, and octal escapes stand for those in paths. */
export function parseMountInfo(text: string): Mount[] {
  return text
    .split('\n')
    .map((line) => line.split(' '))
    .flatMap(([, , device, root, point]) =>
      device === undefined || root === undefined || point === undefined
        ? []
        : [{ device, root: unescape(root), point: unescape(point) }],
    )
}

function unescape(path: string): string {
  return path.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  )
}

/**
 * Every path at which the host shows `folder`: its own, and one for each bind mount of its file system that includes
 * it. A mask that covered only the first would leave the others open.
 */
export function pathsOf(folder: string, mounts: readonly Mount[]): string[] {
  // The last of several mounts that hold it is the one on top.
  const holder = mounts
    .filter(({ point }) => isWithin(folder, point))
    .reduce<Mount | undefined>(
      (best, mount) => (best === undefined || mount.point.length >= best.point.length ? mount : best),
      undefined,
    )
  if (holder === undefined) return [folder]
  const inside = posix.join(holder.root, posix.relative(holder.point, folder))
  const aliases = mounts
    .filter(({ device, root }) => device === holder.device && isWithin(inside, root))
    .map(({ root, point }) => posix.join(point, posix.relative(root, inside)))
  return [...new Set([folder, ...aliases])]
}

/**
 * Arguments that put an empty, read-only folder over each of `folders`, wherever the sandbox would show it. Where the
 * user may not even enter a folder above, that one is covered: bubblewrap, which runs as the user, can reach it.
 */
export function masks(folders: readonly string[], runAs: RunAs): string[] {
  const mounts = parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8'))
  const points = folders
    .map(realFolder)
    .flatMap((folder) => pathsOf(folder, mounts))
    .map((path) => closedAncestor(path, runAs) ?? path)
    .filter((path) => isShown(path, runAs))
  return [...new Set(points)].flatMap((path) => ['--tmpfs', path, '--remount-ro', path])
}

/** A folder that is not there cannot be covered, and would show when it is made: then nothing runs. */
function realFolder(folder: string): string {
  try {
    return realpathSync(folder)
  } catch (cause) {
    throw new ZtError('ZT-412-FACT', 'a folder that must be hidden does not exist', {
      cause,
      details: { fact: 'mask' },
    })
  }
}

function isShown(path: string, runAs: RunAs): boolean {
  // One of several names that another mount hides on the host is hidden in the sandbox as well.
  if (!existsSync(path)) return false
  const top = path.split('/')[1] ?? ''
  const stat = lstatSync(`/${top}`, { throwIfNoEntry: false })
  return !OWN.has(top) && stat?.isDirectory() === true && mayExecute(stat, runAs)
}
