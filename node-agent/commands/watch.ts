// Streams the output of a process, running or ended, from the offsets that the caller has.
import type { WatchCommand } from '#shared/protocol/command.ts'
import type { WatchResult } from '#shared/protocol/results.ts'
import type { NodeLog } from '../audit/node-log.ts'
import type { OutputSessions } from '../output/sessions.ts'
import type { OutputSource } from '../output/source.ts'
import { findProcess, stateOf } from './find-process.ts'
import type { GrantedCommand, PreparedCommand } from './handler.ts'

export interface WatchParts {
  readonly log: NodeLog
  readonly sessions: OutputSessions
  readonly outputOf: (proc: WatchCommand['proc']) => OutputSource
}

/** ZT-404-PROC, ZT-429-RATE. */
export async function prepareWatch(
  { log, sessions, outputOf }: WatchParts,
  { cmd, envelope, claims, sender }: GrantedCommand<WatchCommand>,
): Promise<PreparedCommand> {
  const { proc, started, from, follow, out } = cmd
  const found = findProcess(log, cmd)
  sessions.requireRoom()
  return {
    obj: { op: cmd.op, proc, started, from: { ...from }, follow },
    async run() {
      const source = outputOf(proc)
      const stream = sessions.open({ source, proc, out, caller: sender, jti: envelope.jti, from, follow })
      try {
        const row = await log.append(
          { type: 'proc.watched', out: 'info', cmd: envelope.jti, txn: claims.txn, obj: { proc, started } },
          () => log.commands.close(envelope.jti),
        )
        const result: WatchResult = { proc, started, state: stateOf(found), out: stream.grant }
        return { result, row, afterwards: () => stream.start() }
      } catch (error) {
        await stream.abandon()
        throw error
      }
    },
    release: () => undefined,
    cameToNothing: () => true,
  }
}
