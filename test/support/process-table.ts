// Which processes of this machine belong to a mesh, by the kernel's own table, so that a test can say that none is left.
import { readFileSync, readdirSync } from 'node:fs'
import { basename } from 'node:path'
import { commandLine, processesOf } from '#ops/demo/programs.ts'

/** A process for as long as it is that one: its number may be given to another. */
export interface Incarnation {
  readonly pid: number
  readonly startTicks: string
  readonly commandLine: string
}

interface Status {
  readonly parent: number
  readonly startTicks: string
  readonly state: string
}

/** Fields of /proc/PID/stat; undefined when the process has ended. */
function statusOf(pid: number): Status | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The second field is the name in parentheses, and may itself hold spaces and parentheses.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return { state: fields[0] ?? '', parent: Number(fields[1]), startTicks: fields[19] ?? '' }
  } catch {
    return undefined
  }
}

const pids = (): number[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)

/** Every process that names a file below `dir`, and whatever these have started. */
export function familyOf(dir: string): Incarnation[] {
  const parents = new Map(pids().map((pid) => [pid, statusOf(pid)?.parent ?? 0]))
  const family = new Set(processesOf(dir))
  for (let before = -1; before !== family.size;) {
    before = family.size
    for (const [pid, parent] of parents) if (family.has(parent)) family.add(pid)
  }
  return [...family].flatMap((pid) => incarnationOf(pid) ?? [])
}

/** The process that has this number now; undefined if none has. */
export function incarnationOf(pid: number): Incarnation | undefined {
  const status = statusOf(pid)
  return status === undefined
    ? undefined
    : { pid, startTicks: status.startTicks, commandLine: commandLine(pid) }
}

/** True while that very process runs: one that has ended and waits for its parent does not. */
export function isAlive({ pid, startTicks }: Incarnation): boolean {
  const status = statusOf(pid)
  return status !== undefined && status.startTicks === startTicks && status.state !== 'Z'
}

/** Processes of this program, by its bare name, with exactly these arguments, wherever they run. */
export function processesOfArgv([program = '', ...rest]: readonly string[]): number[] {
  return pids().filter((pid) => {
    const [path = '', ...args] = argumentsOf(pid)
    return (
      basename(path) === program && args.length === rest.length && args.every((arg, at) => arg === rest[at])
    )
  })
}

function argumentsOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, -1)
  } catch {
    return []
  }
}
