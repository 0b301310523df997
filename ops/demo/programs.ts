// How to start our programs: from source, or from the bundles of `make dist`. The demo, the end-to-end tests and the
// bench start every part through this, as separate processes.
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, openSync, closeSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

export const ROOT: string = join(import.meta.dirname, '..', '..')

export type Build = 'source' | 'dist'
export type ProgramName = 'hub' | 'node-agent' | 'ztctl' | 'ceremony'

const SOURCES: Readonly<Record<ProgramName, string>> = {
  hub: 'hub/main.ts',
  'node-agent': 'node-agent/main.ts',
  ztctl: 'ops/ztctl/main.ts',
  ceremony: 'pki/ceremony/main.ts',
}

/** argv of a program; its own arguments follow. */
export function programArgv(build: Build, name: ProgramName): string[] {
  const file = build === 'source' ? join(ROOT, SOURCES[name]) : join(ROOT, 'dist', `${name}.js`)
  if (!existsSync(file)) throw new Error(`${file} does not exist: run \`make dist\``)
  return [process.execPath, file]
}

/** A tool that `make tools` built. */
export function toolPath(name: 'nats-server' | 'frps' | 'frpc'): string {
  const file = join(ROOT, '.tools', 'bin', name)
  if (!existsSync(file)) throw new Error(`${file} does not exist: run \`make tools\``)
  return file
}

export interface Finished {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly input?: string
  readonly env?: NodeJS.ProcessEnv
  readonly timeoutMs?: number
  readonly cwd?: string
}

function collect(child: ChildProcess, input: string | undefined): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const out: Buffer[] = []
    const err: Buffer[] = []
    child.stdout?.on('data', (chunk: Buffer) => out.push(chunk))
    child.stderr?.on('data', (chunk: Buffer) => err.push(chunk))
    child.once('error', reject)
    child.once('close', (code, signal) => {
      const status = code ?? (signal === 'SIGKILL' ? 137 : 143)
      resolve({ code: status, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() })
    })
    child.stdin?.on('error', () => undefined) // a program that ends before it reads its input
    child.stdin?.end(input ?? '')
  })
}

/** Runs to the end and answers whatever the exit code: the caller looks at it. */
export function run(argv: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const [file = '', ...args] = argv
  const child = spawn(file, args, {
    stdio: 'pipe',
    env: options.env ?? process.env,
    timeout: options.timeoutMs ?? 60_000,
    killSignal: 'SIGKILL',
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  return collect(child, options.input)
}

/** Runs to the end; throws with what it said on standard error unless it exits 0. */
export async function mustRun(argv: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const finished = await run(argv, options)
  if (finished.code === 0) return finished
  throw new Error(`${argv.slice(1, 4).join(' ')} exited ${finished.code}:\n${finished.stderr}`)
}

/** Starts a program that stays, its standard error in `logFile`; `detached`, it does not hear what this terminal is told. */
export function start(argv: readonly string[], logFile: string, detached = false): ChildProcess {
  const [file = '', ...args] = argv
  const log = openSync(logFile, 'a', 0o600)
  try {
    return spawn(file, args, { stdio: ['ignore', log, log], detached })
  } finally {
    closeSync(log)
  }
}

/** The command line of a process, its words joined by spaces; empty if it has ended. */
export function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch {
    return ''
  }
}

/** Every process that names a file below `dir` in its command line: hub, nats-server, agents, and their keepers. */
export function processesOf(dir: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => pid !== process.pid && commandLine(pid).includes(`${dir}/`))
}

const END_DEADLINE_MS = 15_000

/** Asks every process of `dir` to end, and waits; what is left after 15 s is killed. */
export async function endProcessesOf(dir: string): Promise<void> {
  const deadline = Date.now() + END_DEADLINE_MS
  signalAll(processesOf(dir), 'SIGTERM')
  while (processesOf(dir).length > 0) {
    if (Date.now() > deadline) signalAll(processesOf(dir), 'SIGKILL')
    await delay(25)
  }
}

function signalAll(pids: readonly number[], signal: NodeJS.Signals): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }
}
