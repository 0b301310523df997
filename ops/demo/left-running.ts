// The processes that `make up` left running: found again by pid and command line, so that a pid that has since become
// somebody else's is never touched.
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { STATE_DIR } from './build-mesh.ts'
import { removeOutside } from './outside.ts'
import { commandLine, endProcessesOf, processesOf } from './programs.ts'

const DIR = join(STATE_DIR, 'up')
export const PIDS_FILE: string = join(STATE_DIR, 'up.json')

export function isRunning(): boolean {
  if (!existsSync(PIDS_FILE)) return false
  const started = JSON.parse(readFileSync(PIDS_FILE, 'utf8')) as { name: string; pid: number }[]
  return started.every(({ pid }) => commandLine(pid).includes(`${DIR}/`))
}

/** Ends hub, agents and the keepers that agents leave behind, and waits until all are gone. */
export async function endMesh(): Promise<void> {
  await endProcessesOf(DIR)
  if (processesOf(DIR).length > 0) throw new Error('something of the mesh does not end')
  removeOutside(DIR)
  rmSync(PIDS_FILE, { force: true })
}
