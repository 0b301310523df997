// What a keeper finds when it starts: records of processes whose keeper is gone. bubblewrap ends with its parent, so
// nothing of them should run; whatever does is ended here, before anybody is told that it is lost.
import type { Clock } from '#shared/host/clock.ts'
import type { ProcId } from '#shared/identity/names.ts'
import { sizeOnDisk } from './output-log.ts'
import { hasEnded, membersLabelled } from './process-tree.ts'
import { isFinished, procDir, readRecord, takenProcs, writeRecord, type ProcRecord } from './record.ts'
import { killAndWait } from './tree.ts'

export interface KnownProcs {
  /** with those whose record cannot be read: they are not run again either */
  readonly taken: Set<ProcId>
  readonly finished: Map<ProcId, ProcRecord>
}

/** Resolves when nothing of an earlier keeper runs, and every record says so. */
export async function recoverRecords(
  stateDir: string,
  clock: Clock,
  labelOf: (proc: ProcId) => string,
): Promise<KnownProcs> {
  const taken = new Set(takenProcs(stateDir))
  const records = [...taken].flatMap((proc) => readRecord(stateDir, proc) ?? [])
  const unfinished = records.filter((record) => !isFinished(record))
  if (unfinished.length > 0) await endLeftovers(new Set(unfinished.map(({ proc }) => labelOf(proc))), clock)
  const finished = new Map<ProcId, ProcRecord>()
  for (const record of records) {
    finished.set(record.proc, isFinished(record) ? record : await markLost(stateDir, record, clock))
  }
  return { taken, finished }
}

/** bubblewrap's processes carry the label of their process; when its init is gone, so is the tree. */
async function endLeftovers(labels: ReadonlySet<string>, clock: Clock): Promise<void> {
  for (const { pid, started } of membersLabelled(labels)) {
    if (!hasEnded(pid, started)) await killAndWait({ pid, started }, clock)
  }
}

async function markLost(stateDir: string, record: ProcRecord, clock: Clock): Promise<ProcRecord> {
  const dir = procDir(stateDir, record.proc)
  const { segmentBytes } = record.output
  const lost: ProcRecord = {
    ...record,
    state: 'lost',
    ended: clock.now(),
    reason: 'its keeper ended',
    output: {
      segmentBytes,
      stdout: await sizeOnDisk(dir, 'stdout', segmentBytes),
      stderr: await sizeOnDisk(dir, 'stderr', segmentBytes),
    },
  }
  writeRecord(stateDir, lost)
  return lost
}
