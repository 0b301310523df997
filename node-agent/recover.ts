// After a start: what was accepted before, and has no outcome in the log. Processes are asked for at the keeper, which
// outlives the agent; everything else is said to be unknown. Nothing is ever done again.
import type { CommandOp } from '#shared/protocol/command.ts'
import type { NodeLog } from './audit/node-log.ts'
import type { Processes } from './processes/processes.ts'

/** Before any command is taken. Rejects if the keeper cannot be asked or a row cannot be written. */
export async function recover(log: NodeLog, processes: Processes): Promise<void> {
  await processes.settleAll()
  for (const { jti, op, txn, proc } of log.commands.all()) {
    // A spawn that is still open is one that the keeper is about to start: its event will close it.
    if (op === 'process.spawn') continue
    const obj = { op: op satisfies CommandOp, ...(proc !== null && { proc }), why: 'agent-ended' }
    await log.append(
      { type: 'cmd.outcome_unknown', out: 'error', code: 'ZT-504-OUTCOME-UNKNOWN', cmd: jti, txn, obj },
      () => log.commands.close(jti),
    )
  }
}
