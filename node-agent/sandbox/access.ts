// What a user may reach on the host, by owner and mode alone. It errs towards "no": access lists and capabilities
// that would grant more are not looked at. The kernel decides again when the sandbox is made.
import { statSync, type Stats } from 'node:fs'
import { dirname } from 'node:path'
import type { RunAs } from './sandbox.ts'

const EXECUTE = 0o1

/** True if the mode lets that user execute a file, or search a folder. */
export function mayExecute(stat: Pick<Stats, 'mode' | 'uid' | 'gid'>, runAs: RunAs): boolean {
  if (runAs.uid === 0) return (stat.mode & 0o111) !== 0
  if (stat.uid === runAs.uid) return (stat.mode & (EXECUTE << 6)) !== 0
  if (stat.gid === runAs.gid) return (stat.mode & (EXECUTE << 3)) !== 0
  return (stat.mode & EXECUTE) !== 0
}

/**
 * True if that user, or anybody but the owner, may write to a file, or grant himself that. Here it errs towards "yes":
 * what an access list grants shows in the mode of the group.
 */
export function mayWrite(stat: Pick<Stats, 'mode' | 'uid'>, runAs: RunAs): boolean {
  return stat.uid === runAs.uid || (stat.mode & 0o022) !== 0
}

/**
 * The outermost folder on the way from `base` to `path` that the user may not search, or undefined if all are open.
 * Both are absolute and without links; `path` is not looked at itself. A folder that is gone counts as closed.
 */
export function closedAncestor(path: string, runAs: RunAs, base: string = '/'): string | undefined {
  return ancestorsOf(path, base).find((folder) => {
    const stat = statSync(folder, { throwIfNoEntry: false })
    return stat === undefined || !mayExecute(stat, runAs)
  })
}

/** From `base` down, without `path` itself. */
function ancestorsOf(path: string, base: string): string[] {
  const parent = dirname(path)
  return parent === path || !isWithin(parent, base) ? [] : [...ancestorsOf(parent, base), parent]
}

/** True if `path` is `folder` or below it; both absolute and normal. */
export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`)
}
