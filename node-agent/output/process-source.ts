// A process's output as the keeper keeps it on disk, and its end as the log has it.
import type { ProcId } from '#shared/identity/names.ts'
import { openOutput } from '../keeper/output-log.ts'
import type { Processes } from '../processes/processes.ts'
import type { OutputSource } from './source.ts'

export function processSource(stateDir: string, proc: ProcId, processes: Processes): OutputSource {
  const reader = openOutput(stateDir, proc)
  return {
    streams: ['stdout', 'stderr'],
    read: (stream, offset, maxBytes) => reader.read(stream, offset, maxBytes),
    exit: () => processes.ended(proc),
    close: () => reader.close(),
  }
}
