// A nats-server that outlived its hub (kill -9) still holds the port and an old configuration. It is found by its pid
// file, and ended only if it is really ours: our user, a nats-server, started with exactly our configuration file.
import { readFile, readlink, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { ZtError } from '#shared/errors/error.ts'
import { sleep, type Clock } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'

export interface OrphanOptions {
  readonly pidFile: string
  readonly configFile: string
  readonly clock: Clock
  readonly log: Logger
}

const POLL_MS = 20
/** How a process is asked to end, and how long it is waited for. */
const WAYS = [
  { signal: 'SIGTERM', waitMs: 2_000 },
  { signal: 'SIGKILL', waitMs: 3_000 },
] as const

/** When it resolves, no server of `configFile` that the pid file names is running. ZT-503-NATS if one will not end. */
export async function endOrphan(options: OrphanOptions): Promise<void> {
  const pid = await readPid(options.pidFile)
  if (pid === undefined || pid === process.pid || !(await isOurs(pid, options.configFile))) return
  options.log.warn('ending the nats-server of an earlier run', { pid })
  for (const way of WAYS) {
    send(pid, way.signal)
    if (await ended(pid, way.waitMs, options)) return
  }
  throw new ZtError('ZT-503-NATS', `the nats-server of an earlier run, process ${pid}, does not end`)
}

async function readPid(file: string): Promise<number | undefined> {
  const text = await readFile(file, 'utf8').catch(absent)
  return text !== undefined && /^[1-9][0-9]{0,9}\s*$/.test(text) ? Number(text) : undefined
}

/** The pid may by now be of any other process: nothing is assumed from the number. */
async function isOurs(pid: number, configFile: string): Promise<boolean> {
  const [owner, exe, argv] = await Promise.all([
    stat(`/proc/${pid}`).catch(absent),
    readlink(`/proc/${pid}/exe`).catch(absent),
    readFile(`/proc/${pid}/cmdline`, 'utf8').catch(absent),
  ])
  if (owner === undefined || exe === undefined || argv === undefined) return false
  // The kernel marks a program whose file was replaced since, as after an upgrade.
  const program = basename(exe.replace(/ \(deleted\)$/, ''))
  const args = argv.split('\0')
  const configured = args.some((arg, at) => arg === '-c' && args[at + 1] === configFile)
  return owner.uid === process.getuid?.() && program.startsWith('nats-server') && configured
}

async function ended(pid: number, waitMs: number, { configFile, clock }: OrphanOptions): Promise<boolean> {
  for (let waitedMs = 0; waitedMs < waitMs; waitedMs += POLL_MS) {
    if (!(await isOurs(pid, configFile))) return true
    await sleep(clock, POLL_MS)
  }
  return false
}

function send(pid: number, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

function absent(error: NodeJS.ErrnoException): undefined {
  // ESRCH: the process ended while /proc was read. EACCES: it is another user's.
  if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(error.code ?? '')) return undefined
  throw error
}
