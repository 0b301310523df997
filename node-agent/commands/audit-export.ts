// Hands the audit log out to somebody who was granted it. That it was read is itself a row, and that row is in it.
import { ZtError } from '#shared/errors/error.ts'
import { claimedHead } from '#shared/log/checkpoint.ts'
import type { ExportCommand } from '#shared/protocol/command.ts'
import type { ExportResult } from '#shared/protocol/results.ts'
import type { NodeLog } from '../audit/node-log.ts'
import { LogSource } from '../output/log-source.ts'
import type { OutputSessions } from '../output/sessions.ts'
import type { GrantedCommand, PreparedCommand } from './handler.ts'

export interface ExportParts {
  readonly log: NodeLog
  readonly sessions: OutputSessions
}

/** ZT-422-SCHEMA for a first row beyond the end; ZT-429-RATE. */
export async function prepareExport(
  { log, sessions }: ExportParts,
  { cmd, envelope, claims, sender }: GrantedCommand<ExportCommand>,
): Promise<PreparedCommand> {
  const { from, out, op } = cmd
  if (from > log.durable.size)
    throw new ZtError('ZT-422-SCHEMA', 'field "cmd.from" is beyond the end of the log')
  sessions.requireRoom()
  return {
    obj: { op, from },
    async run() {
      const row = await log.append(
        { type: 'audit.exported', out: 'info', cmd: envelope.jti, txn: claims.txn, obj: { from } },
        () => log.commands.close(envelope.jti),
      )
      // Up to the head in the receipt and no further: it covers this very row.
      const { size } = claimedHead(row.checkpoint)
      const source = new LogSource({ log: log.durable, from, to: size })
      const stream = sessions.open({
        source,
        proc: 'audit',
        out,
        caller: sender,
        jti: envelope.jti,
        from: { stdout: 0, stderr: 0 },
        follow: false,
      })
      const result: ExportResult = { size, out: stream.grant }
      return { result, row, afterwards: () => stream.start() }
    },
    release: () => undefined,
    cameToNothing: () => true,
  }
}
