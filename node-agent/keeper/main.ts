// The keeper as a program: `--state-dir DIR`. One per folder, by a lock that the kernel ends with the process. It goes
// by itself when it has neither an agent nor a process; when it ends in any other way, its processes end with it.
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { ZtError, isZtError } from '#shared/errors/error.ts'
import { systemClock, type Timer } from '#shared/host/clock.ts'
import { createBubblewrap } from '../sandbox/bubblewrap.ts'
import { acquireInstanceLock, type InstanceLock } from '../state/instance-lock.ts'
import { requireStateDir } from '../state/state-dir.ts'
import { closeInherited } from './inherited.ts'
import { Keeper } from './keeper.ts'
import { DEFAULT_OUTPUT_LIMITS, type OutputLimits } from './output-log.ts'
import { bootId } from './process-tree.ts'
import type { KeeperEvent } from './protocol.ts'
import { keeperDir, keeperSocket } from './record.ts'
import { DEFAULT_RETENTION } from './retention.ts'
import { KeeperServer } from './server.ts'

interface Settings {
  readonly stateDir: string
  readonly maxProcesses: number
  readonly output: OutputLimits
}

const IDLE_MS = 10_000
const DEFAULT_MAX_PROCESSES = 1024
const MIN_OUTPUT_BYTES = 64 * 1024
const SEGMENTS = 8

function parseSettings(args: readonly string[]): Settings {
  const { values } = parseArgs({
    args: [...args],
    strict: true,
    options: {
      'state-dir': { type: 'string' },
      'max-processes': { type: 'string' },
      'max-output-bytes': { type: 'string' },
    },
  })
  const stateDir = values['state-dir']
  if (stateDir === undefined) throw new ZtError('ZT-400-USAGE', '--state-dir is missing')
  const maxBytes = parseCount(values['max-output-bytes'], MIN_OUTPUT_BYTES) ?? DEFAULT_OUTPUT_LIMITS.maxBytes
  return {
    stateDir: requireStateDir(stateDir).dir,
    maxProcesses: parseCount(values['max-processes'], 1) ?? DEFAULT_MAX_PROCESSES,
    output: { maxBytes, segmentBytes: Math.ceil(maxBytes / SEGMENTS) },
  }
}

function parseCount(text: string | undefined, min: number): number | undefined {
  if (text === undefined) return undefined
  const count = /^[1-9][0-9]{0,14}$/.test(text) ? Number(text) : 0
  if (count < min) throw new ZtError('ZT-400-USAGE', `a count must be a whole number from ${min}`)
  return count
}

/** JSON lines on stderr; facts of the system, nothing of what a process printed or was given. */
function logFault(what: string, cause: unknown): void {
  const reason = cause instanceof Error ? cause.message : String(cause)
  process.stderr.write(`${JSON.stringify({ level: 'error', time: systemClock.now(), msg: what, reason })}\n`)
}

/** undefined if a keeper of that folder runs already. */
function takeLock(stateDir: string): InstanceLock | undefined {
  try {
    return acquireInstanceLock(join(keeperDir(stateDir), 'lock'))
  } catch (cause) {
    if (isZtError(cause, 'ZT-409-EXISTS')) return undefined
    throw cause
  }
}

class Program {
  readonly #keeper: Keeper
  readonly #server: KeeperServer
  #connections = 0
  #idle: Timer | undefined
  #ending = false

  constructor(keeper: Keeper) {
    this.#keeper = keeper
    this.#server = new KeeperServer({
      keeper,
      boot: bootId(),
      onConnections: (count) => {
        this.#connections = count
        this.#considerIdle()
      },
      onShutdown: () => void this.end(),
      onFault: logFault,
    })
  }

  async listen(path: string): Promise<void> {
    // We hold the lock, so nobody listens there any more.
    rmSync(path, { force: true })
    await this.#server.listen(path)
    this.#considerIdle()
  }

  onEvent(event: KeeperEvent): void {
    this.#server.broadcast(event)
    if (event.event === 'exited') this.#considerIdle()
  }

  /** Ends every tree, tells its end, and then itself. */
  async end(): Promise<void> {
    if (this.#ending) return
    this.#ending = true
    await this.#keeper.close()
    await this.#server.close()
    process.exit(0)
  }

  #considerIdle(): void {
    this.#idle?.cancel()
    if (this.#connections > 0 || this.#keeper.busy) return
    this.#idle = systemClock.after(IDLE_MS, () => void this.end())
  }
}

async function main(args: readonly string[]): Promise<void> {
  closeInherited()
  const { stateDir, maxProcesses, output } = parseSettings(args)
  mkdirSync(keeperDir(stateDir), { recursive: true, mode: 0o700 })
  const lock = takeLock(stateDir)
  if (lock === undefined) return
  process.once('exit', () => lock.release())
  const programs: Program[] = []
  const keeper = await Keeper.open({
    stateDir,
    sandbox: createBubblewrap(keeperDir(stateDir)),
    clock: systemClock,
    maxProcesses,
    output,
    retention: DEFAULT_RETENTION,
    onEvent: (event) => programs.forEach((program) => program.onEvent(event)),
    onFault: logFault,
  })
  const program = new Program(keeper)
  programs.push(program)
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void program.end())
  // A terminal that closes is not a reason to end: the agent that started us may have had one.
  process.on('SIGHUP', () => undefined)
  await program.listen(keeperSocket(stateDir))
}

try {
  await main(process.argv.slice(2))
} catch (cause) {
  logFault('the keeper cannot run', cause)
  process.exitCode = 1
}
