// How a remote process ended, as an exit status of our own.
import { constants } from 'node:os'
import type { ExitStatus } from '#shared/protocol/results.ts'
import type { Ending } from './follower.ts'

const SIGNALED = 128
const TIMED_OUT = 124
const UNKNOWN = 255

/** The process's own code; 128+n for signal n; 124 when its time limit ended it. */
export function exitCodeOf({ code, signal, limit }: ExitStatus): number {
  if (limit === 'wall_s') return TIMED_OUT
  if (signal === undefined) return code ?? UNKNOWN
  const number = new Map<string, number>(Object.entries(constants.signals)).get(`SIG${signal}`)
  return number === undefined ? UNKNOWN : SIGNALED + number
}

/** As exitCodeOf(), but success is not said of a process whose output was lost in part: 255. */
export function exitCodeOfEnding(ending: Exclude<Ending, { kind: 'stopped' }>): number {
  const code = ending.kind === 'exit' ? exitCodeOf(ending.status) : 0
  return code === 0 && ending.missing !== undefined ? UNKNOWN : code
}

/** "exit 3", "signal KILL", "time limit": for tables. */
export function exitText({ code, signal, limit }: ExitStatus): string {
  if (limit === 'wall_s') return 'time limit'
  return signal === undefined ? `exit ${code ?? '?'}` : `signal ${signal}`
}
