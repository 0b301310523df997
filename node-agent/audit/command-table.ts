// Commands that were accepted and whose outcome is not in the log yet. A line is written in the transaction of its
// `cmd.accepted` row and taken away in that of its outcome, so what is found here after a crash is exactly what
// recover.ts has to find out about.
import type { DatabaseSync, StatementSync } from 'node:sqlite'

import { object, integer, nullable, oneOf, string } from '#shared/encoding/shape.ts'
import type { CommandOp } from '#shared/protocol/command.ts'

export interface OpenCommand {
  /** `jti` of the envelope: what every row about the command names */
  readonly jti: string
  readonly op: CommandOp
  readonly txn: string
  readonly proc: string | null
  /** UTC, milliseconds */
  readonly acceptedMs: number
}

const SCHEMA = `
CREATE TABLE IF NOT EXISTS open_command (
  jti TEXT PRIMARY KEY, op TEXT NOT NULL, txn TEXT NOT NULL, proc TEXT, accepted_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`

const OPS: readonly CommandOp[] = [
  'process.spawn',
  'process.list',
  'process.watch',
  'process.kill',
  'audit.export',
]

const line = object({
  jti: string({ max: 64 }),
  op: oneOf(OPS),
  txn: string({ max: 64 }),
  proc: nullable(string({ max: 64 })),
  acceptedMs: integer({ min: 0 }),
})

export class CommandTable {
  readonly #add: StatementSync
  readonly #close: StatementSync
  readonly #all: StatementSync

  constructor(database: DatabaseSync) {
    database.exec(SCHEMA)
    this.#add = database.prepare('INSERT INTO open_command VALUES (?, ?, ?, ?, ?)')
    this.#close = database.prepare('DELETE FROM open_command WHERE jti = ?')
    this.#all = database.prepare(
      'SELECT jti, op, txn, proc, accepted_ms AS acceptedMs FROM open_command ORDER BY accepted_ms',
    )
  }

  /** Inside the transaction of `cmd.accepted`. */
  open(command: OpenCommand): void {
    this.#add.run(command.jti, command.op, command.txn, command.proc, command.acceptedMs)
  }

  /** Inside the transaction of the row that says what came of it. */
  close(jti: string): void {
    this.#close.run(jti)
  }

  all(): readonly OpenCommand[] {
    return this.#all.all().map((row) => line({ ...row }, 'open_command'))
  }
}
