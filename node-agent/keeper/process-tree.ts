// Processes as the kernel tells of them. A pid alone names nothing for long, so everything here goes by pid and start
// time, and by the pid namespace: whatever a process does (setsid, double fork), it cannot leave that.
import { existsSync, readFileSync, readdirSync, readlinkSync, statSync } from 'node:fs'
import type { TreeMember } from './protocol.ts'

export interface ProcStat extends TreeMember {
  /** one letter, proc_pid_stat(5) */
  readonly state: string
}

/** Parses proc_pid_stat(5). `comm` may hold spaces and parentheses, so the fields are counted from the last one. */
export function parseStat(text: string): ProcStat | undefined {
  const open = text.indexOf('(')
  const close = text.lastIndexOf(')')
  const pid = Number(text.slice(0, open).trim())
  const fields = text.slice(close + 2).split(' ')
  const [state, ppid] = fields
  const started = fields[19]
  if (open < 1 || !Number.isSafeInteger(pid) || state === undefined || started === undefined) return undefined
  return { pid, comm: text.slice(open + 1, close), state, ppid: Number(ppid), started }
}

/** undefined: there is no such process. */
export function readStat(pid: number): ProcStat | undefined {
  const text = readText(`/proc/${pid}/stat`)
  return text === undefined ? undefined : parseStat(text)
}

/** True unless that very process still has memory: gone, another one by now, or a zombie. */
export function hasEnded(pid: number, started: string): boolean {
  const stat = readStat(pid)
  return stat === undefined || stat.started !== started || stat.state === 'Z' || stat.state === 'X'
}

/** Every process of a pid namespace, given by the number of its inode. Those that ended meanwhile are left out. */
export function membersOf(namespace: number): ProcStat[] {
  const link = `pid:[${namespace}]`
  return allPids('/proc')
    .filter((pid) => readNamespace(pid) === link)
    .flatMap((pid) => readStat(pid) ?? [])
}

/** Every process whose argv[0] is one of `labels`: how a keeper finds what a dead one left behind. */
export function membersLabelled(labels: ReadonlySet<string>): ProcStat[] {
  return allPids('/proc')
    .filter((pid) => labels.has(argv0Of('/proc', pid) ?? ''))
    .flatMap((pid) => readStat(pid) ?? [])
}

/**
 * What a process got from the kernel when it was last executed: its file, and the auxiliary vector (getauxval(3)), which
 * holds addresses that are drawn anew each time. A fork has its parent's. Nothing of it can be written by the process,
 * unlike its name and arguments. undefined: it is gone; "closed": it keeps even us out, as no setup of ours does.
 */
export function imageOf(proc: string, pid: number): string | undefined {
  const at = `${proc}/${pid}`
  try {
    const { dev, ino } = statSync(`${at}/exe`, { bigint: true })
    const vector = readFileSync(`${at}/auxv`)
    return vector.length === 0 ? undefined : `${dev}:${ino}:${vector.toString('base64')}`
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
    return code === 'EACCES' || code === 'EPERM' ? 'closed' : undefined
  }
}

/**
 * True once the sandbox with that root folder runs something else than its own setup, all of which has the image
 * `setup`. It is looked at through the sandbox's own /proc, which lists nothing but its tree.
 */
export function hasExecuted(root: string, setup: string): boolean {
  const proc = `${root}/proc`
  return allPids(proc).some((pid) => (imageOf(proc, pid) ?? setup) !== setup)
}

/** True if that is the root folder of a sandbox with its own /proc, in which init is hidden: one of its last steps. */
export function isComplete(root: string): boolean {
  const hidden = `${root}/proc/1`
  return existsSync(hidden) && !existsSync(`${hidden}/stat`)
}

/** Random per start of the machine. */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
}

function allPids(proc: string): number[] {
  return listOf(proc)
    .map(Number)
    .filter((pid) => Number.isSafeInteger(pid) && pid > 0)
}

function readNamespace(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`)
  } catch {
    // Gone, or of another user and so not of ours.
    return undefined
  }
}

function argv0Of(proc: string, pid: number): string | undefined {
  return readText(`${proc}/${pid}/cmdline`)?.split('\0', 1)[0]
}

/** undefined: the process is gone. */
function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

/** Empty: there is no such folder, as for a sandbox that has ended. */
function listOf(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}
