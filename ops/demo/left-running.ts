// The processes that `make up` left running: found again by pid and command line, so that a pid that has since become
// somebody else's is never touched.
import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { STATE_DIR } from './build-mesh.ts'
import { until } from './mesh.ts'

const DIR = join(STATE_DIR, 'up')
export const PIDS_FILE: string = join(STATE_DIR, 'up.json')

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch {
    return '' // it has ended
  }
}

/** Ours is whatever names a file of this mesh in its command line: hub, agents, and the keepers that agents left. */
function ours(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid && commandLine(pid).includes(`${DIR}/`))
}

export function isRunning(): boolean {
  if (!existsSync(PIDS_FILE)) return false
  const started = JSON.parse(readFileSync(PIDS_FILE, 'utf8')) as { name: string; pid: number }[]
  return started.every(({ pid }) => commandLine(pid).includes(`${DIR}/`))
}

/** Ends the programs in order, agents and keepers before the hub, and waits until all are gone. */
export async function endMesh(): Promise<void> {
  for (const pid of ours().toReversed()) {
    try {
      process.kill(pid, 'SIGTERM')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
  await until('the mesh', () =>
    Promise.resolve(ours().length === 0 ? undefined : `still running: ${ours().join(', ')}`),
  )
  rmSync(PIDS_FILE, { force: true })
}
