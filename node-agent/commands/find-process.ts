// The process that a watch or a kill means: by its id and by its start, because an id alone could be another process.
import { ZtError } from '#shared/errors/error.ts'
import type { KillCommand, WatchCommand } from '#shared/protocol/command.ts'
import type { ProcState } from '#shared/protocol/results.ts'
import type { ProcessRecord } from '../audit/process-table.ts'
import type { NodeLog } from '../audit/node-log.ts'

/** One that has run. */
export interface FoundProcess extends ProcessRecord {
  readonly started: number
}

/** ZT-404-PROC for an unknown id, one that never ran, and another start of the same id. */
export function findProcess(log: NodeLog, { proc, started }: KillCommand | WatchCommand): FoundProcess {
  const record = log.processes.find(proc)
  if (record === undefined || record.started !== started) {
    throw new ZtError('ZT-404-PROC', 'no such process on this node')
  }
  return { ...record, started }
}

export function stateOf({ state }: Pick<ProcessRecord, 'state'>): ProcState {
  if (state === 'exited') return 'exited'
  return state === 'running' || state === 'accepted' ? 'running' : 'lost'
}
