// What a mesh needs outside of its own folder: a session in memory, and workspaces that nobody's user can enter. Each is
// made once and remembered by a file in the mesh's folder, so that whoever ends the mesh can remove it.
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const PARENTS = { session: '/dev/shm', workspaces: '/var/tmp' } as const

const markOf = (dir: string, what: keyof typeof PARENTS): string => join(dir, `${what}-folder`)

/** The folder for sessions, 0700. */
export function sessionFolder(dir: string): string {
  return folder(dir, 'session')
}

/** The folder for workspaces: a checkout may lie where the user of workloads cannot enter. */
export function workspaceFolder(dir: string): string {
  const path = folder(dir, 'workspaces')
  chmodSync(path, 0o711)
  return path
}

function folder(dir: string, what: keyof typeof PARENTS): string {
  const mark = markOf(dir, what)
  if (!existsSync(mark)) writeFileSync(mark, mkdtempSync(join(PARENTS[what], 'ztmesh-')))
  return readFileSync(mark, 'utf8')
}

/** Removes what was made for the mesh in `dir`. */
export function removeOutside(dir: string): void {
  for (const what of ['session', 'workspaces'] as const) {
    const mark = markOf(dir, what)
    if (existsSync(mark)) rmSync(readFileSync(mark, 'utf8'), { recursive: true, force: true })
    rmSync(mark, { force: true })
  }
}
