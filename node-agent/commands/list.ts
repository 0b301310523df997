// Lists the node's processes. What a caller may see is for the token to say; a list is a row, like everything else.
import type { ListCommand } from '#shared/protocol/command.ts'
import type { ListResult, ProcEntry } from '#shared/protocol/results.ts'
import type { NodeLog } from '../audit/node-log.ts'
import { exitOf, type ProcessRecord } from '../audit/process-table.ts'
import { stateOf } from './find-process.ts'
import type { GrantedCommand, PreparedCommand } from './handler.ts'

const MAX_ENTRIES = 1000

export async function prepareList(
  { log }: { readonly log: NodeLog },
  { cmd, envelope, claims }: GrantedCommand<ListCommand>,
): Promise<PreparedCommand> {
  return {
    obj: { op: cmd.op, all: cmd.all },
    async run() {
      const records = log.processes.newest({ all: cmd.all, limit: MAX_ENTRIES })
      const result: ListResult = { procs: records.flatMap(entryOf) }
      const row = await log.append(
        {
          type: 'proc.listed',
          out: 'info',
          cmd: envelope.jti,
          txn: claims.txn,
          obj: { all: cmd.all, count: result.procs.length },
        },
        () => log.commands.close(envelope.jti),
      )
      return { result, row }
    },
    release: () => undefined,
    cameToNothing: () => true,
  }
}

function entryOf(record: ProcessRecord): ProcEntry[] {
  const { proc, started, owner, exe, beganMs, endedMs } = record
  if (started === null || beganMs === null) return []
  const exit = exitOf(record)
  return [
    {
      proc,
      started,
      state: stateOf(record),
      owner,
      exe,
      began: beganMs,
      ...(endedMs !== null && { ended: endedMs }),
      ...(exit !== undefined && { exit }),
    },
  ]
}
