// Runs a small program of this machine and reads what it says, within bounds.
import { execFile } from 'node:child_process'
import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { delimiter, dirname, isAbsolute, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Environment } from '../grammar/invocation.ts'

export interface ProgramOutcome {
  /** exit code, or undefined if it did not run to its end */
  readonly code: number | undefined
  /** stdout and stderr together, at most 64 KiB */
  readonly text: string
}

const TIMEOUT_MS = 10_000

/** Runs an absolute path with these arguments, no input and a small environment. Never throws. */
export function runProgram(path: string, args: readonly string[]): Promise<ProgramOutcome> {
  const options = { timeout: TIMEOUT_MS, maxBuffer: 65_536, env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' } }
  return new Promise((resolve) => {
    execFile(path, args, options, (error, stdout, stderr) => {
      const code = error === null ? 0 : error.code
      resolve({ code: typeof code === 'number' ? code : undefined, text: `${stdout}${stderr}` })
    })
  })
}

/** The program of that name in the checkout's own tools or on PATH, or undefined. */
export function findProgram(name: string, env: Environment): string | undefined {
  const folders = [ownTools(), ...(env['PATH'] ?? '').split(delimiter)]
  return folders
    .filter((folder): folder is string => folder !== undefined && isAbsolute(folder))
    .map((folder) => join(folder, name))
    .find(isExecutable)
}

// Beside the source (ops/ztctl/doctor) or the bundle (dist): the nearest .tools/bin upwards.
function ownTools(): string | undefined {
  let at = dirname(fileURLToPath(import.meta.url))
  while (at !== dirname(at)) {
    const tools = join(at, '.tools', 'bin')
    if (existsSync(tools)) return tools
    at = dirname(at)
  }
  return undefined
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}
