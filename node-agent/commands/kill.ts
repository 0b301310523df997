// Ends a whole process tree: the signal that was asked for, then KILL after the grace time. The answer comes when the
// tree is gone.
import { isZtError } from '#shared/errors/error.ts'
import type { KillCommand } from '#shared/protocol/command.ts'
import type { KillResult } from '#shared/protocol/results.ts'
import type { NodeLog } from '../audit/node-log.ts'
import { exitOf } from '../audit/process-table.ts'
import type { ProcRecord } from '../keeper/record.ts'
import type { ProcessKeeper } from '../processes/keeper-port.ts'
import { findProcess, stateOf, type FoundProcess } from './find-process.ts'
import type { Completion, GrantedCommand, PreparedCommand } from './handler.ts'

export interface KillParts {
  readonly log: NodeLog
  readonly keeper: ProcessKeeper
}

const DEFAULT_SIGNAL = 'TERM'

/** ZT-404-PROC. Killing what has ended already is no fault: the answer says how it ended. */
export async function prepareKill(
  parts: KillParts,
  granted: GrantedCommand<KillCommand>,
): Promise<PreparedCommand> {
  const { cmd } = granted
  const found = findProcess(parts.log, cmd)
  let settled = true
  return {
    obj: {
      op: cmd.op,
      proc: cmd.proc,
      started: cmd.started,
      signal: cmd.signal ?? DEFAULT_SIGNAL,
      ...(cmd.grace_ms !== undefined && { grace_ms: cmd.grace_ms }),
    },
    async run() {
      if (found.state !== 'running') return answerEnded(parts, granted, found)
      try {
        return await killTree(parts, granted, found)
      } catch (error) {
        settled = isZtError(error, 'ZT-404-PROC')
        if (!settled) await recordUnknown(parts, granted)
        throw error
      }
    },
    release: () => undefined,
    cameToNothing: () => settled,
  }
}

async function killTree(
  { log, keeper }: KillParts,
  { cmd, envelope, claims }: GrantedCommand<KillCommand>,
  found: FoundProcess,
): Promise<Completion> {
  const { proc, started } = found
  const signal = cmd.signal ?? DEFAULT_SIGNAL
  const kept = await keeper.kill({
    proc,
    started: String(started),
    signal,
    ...(cmd.grace_ms !== undefined && { graceMs: cmd.grace_ms }),
  })
  const obj = { proc, started, signal, ...kept.exit }
  const row = await log.append(
    { type: 'proc.killed', out: 'info', cmd: envelope.jti, txn: claims.txn, obj },
    () => log.commands.close(envelope.jti),
  )
  const result: KillResult = {
    proc,
    started,
    state: keptState(kept),
    ...(kept.exit !== undefined && { exit: kept.exit }),
  }
  return { result, row }
}

/** The signal may have been sent: what came of it shows in the row of the process's end. */
async function recordUnknown(
  { log }: KillParts,
  { cmd, envelope, claims }: GrantedCommand<KillCommand>,
): Promise<void> {
  const obj = { op: cmd.op, proc: cmd.proc, why: 'keeper-silent' }
  await log.append(
    {
      type: 'cmd.outcome_unknown',
      out: 'error',
      code: 'ZT-504-OUTCOME-UNKNOWN',
      cmd: envelope.jti,
      txn: claims.txn,
      obj,
    },
    () => log.commands.close(envelope.jti),
  )
}

async function answerEnded(
  { log }: KillParts,
  { envelope, claims }: GrantedCommand<KillCommand>,
  found: FoundProcess,
): Promise<Completion> {
  const { proc, started } = found
  const exit = exitOf(found)
  const obj = { proc, started, already: true }
  const row = await log.append(
    { type: 'proc.killed', out: 'info', cmd: envelope.jti, txn: claims.txn, obj },
    () => log.commands.close(envelope.jti),
  )
  const result: KillResult = { proc, started, state: stateOf(found), ...(exit !== undefined && { exit }) }
  return { result, row }
}

function keptState({ state }: ProcRecord): KillResult['state'] {
  if (state === 'exited') return 'exited'
  return state === 'running' || state === 'starting' ? 'running' : 'lost'
}
