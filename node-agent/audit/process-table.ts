// The node's own record of the processes that it ran: who owns them, what they are and how they ended. Every change is
// made in the transaction of the row that says the same; the log is the evidence, this table is its index.
import type { DatabaseSync, StatementSync } from 'node:sqlite'

import { integer, nullable, object, oneOf, parsed, string, type Parser } from '#shared/encoding/shape.ts'
import { ZtError } from '#shared/errors/error.ts'
import { parseProcId, type ProcId } from '#shared/identity/names.ts'
import { parseSpiffeId, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import type { ExitStatus } from '#shared/protocol/results.ts'

/** `accepted`: granted, and not known to run. `failed`: it never ran. `lost`: it ran, and nobody saw how it ended. */
export type RecordedState = 'accepted' | 'running' | 'exited' | 'failed' | 'lost'

export interface ProcessRecord {
  readonly proc: ProcId
  /** of the command that made it */
  readonly jti: string
  readonly txn: string
  readonly owner: SpiffeId
  /** of the certificate with which the owner asked; null in a record that an older agent made */
  readonly ownerX5t: string | null
  /** the agent whose identity it was granted; null without one, and in a record that an older agent made */
  readonly agent: string | null
  readonly exe: string
  readonly exeSha256: string
  readonly state: RecordedState
  /** as the keeper counts it; null before it ran */
  readonly started: number | null
  readonly beganMs: number | null
  readonly endedMs: number | null
  readonly code: number | null
  readonly signal: string | null
  /** the limit that ended it */
  readonly limit: 'wall_s' | null
}

export type NewProcess = Pick<
  ProcessRecord,
  'proc' | 'jti' | 'txn' | 'owner' | 'ownerX5t' | 'agent' | 'exe' | 'exeSha256'
>

/** Those that ended longest ago are forgotten beyond this many; the log keeps them all. */
const MAX_ENDED = 10_000

const SCHEMA = `
CREATE TABLE IF NOT EXISTS process (
  proc TEXT PRIMARY KEY, jti TEXT NOT NULL, txn TEXT NOT NULL, owner TEXT NOT NULL, exe TEXT NOT NULL,
  exe_sha256 TEXT NOT NULL, state TEXT NOT NULL, started INTEGER, began_ms INTEGER, ended_ms INTEGER, code INTEGER,
  signal TEXT, limited TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS process_state ON process (state, ended_ms);
`

const COLUMNS =
  'proc, jti, txn, owner, owner_x5t AS ownerX5t, agent, exe, exe_sha256 AS exeSha256, state, started, began_ms AS beganMs, ended_ms AS endedMs, code, signal, limited AS "limit"'

const STATES: readonly RecordedState[] = ['accepted', 'running', 'exited', 'failed', 'lost']
const moment = nullable(integer({ min: 0 }))

const line: Parser<ProcessRecord> = object({
  proc: parsed(parseProcId),
  jti: string({ max: 64 }),
  txn: string({ max: 64 }),
  owner: parsed(parseSpiffeId),
  ownerX5t: nullable(string({ max: 64 })),
  agent: nullable(string({ max: 64 })),
  exe: string({ max: 4096 }),
  exeSha256: string({ max: 64 }),
  state: oneOf(STATES),
  started: moment,
  beganMs: moment,
  endedMs: moment,
  code: nullable(integer({ min: 0, max: 255 })),
  signal: nullable(string({ max: 16 })),
  limit: nullable(oneOf(['wall_s'])),
})

export class ProcessTable {
  readonly #add: StatementSync
  readonly #start: StatementSync
  readonly #end: StatementSync
  readonly #find: StatementSync
  readonly #open: StatementSync
  readonly #newest: StatementSync
  readonly #forget: StatementSync

  constructor(database: DatabaseSync) {
    database.exec(SCHEMA)
    addMissing(database)
    this.#add = database.prepare(
      `INSERT OR IGNORE INTO process (proc, jti, txn, owner, owner_x5t, agent, exe, exe_sha256, state)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'accepted')`,
    )
    this.#start = database.prepare(
      `UPDATE process SET state = 'running', started = ?, began_ms = ? WHERE proc = ? AND state = 'accepted'`,
    )
    this.#end = database.prepare(
      `UPDATE process SET state = ?, ended_ms = ?, code = ?, signal = ?, limited = ?
       WHERE proc = ? AND state IN ('accepted', 'running')`,
    )
    this.#find = database.prepare(`SELECT ${COLUMNS} FROM process WHERE proc = ?`)
    this.#open = database.prepare(`SELECT ${COLUMNS} FROM process WHERE state IN ('accepted', 'running')`)
    this.#newest = database.prepare(
      `SELECT ${COLUMNS} FROM process WHERE started IS NOT NULL AND (state = 'running' OR ?)
       ORDER BY state = 'running' DESC, began_ms DESC LIMIT ?`,
    )
    this.#forget = database.prepare(
      `DELETE FROM process WHERE proc IN (
         SELECT proc FROM process WHERE state NOT IN ('accepted', 'running') ORDER BY ended_ms DESC LIMIT -1 OFFSET ?)`,
    )
  }

  /** Inside the transaction of `cmd.accepted`. ZT-409-IDENTIFIER if the id was ever used here: a start has one id. */
  add(process: NewProcess): void {
    const { proc, jti, txn, owner, ownerX5t, agent, exe, exeSha256 } = process
    if (this.#add.run(proc, jti, txn, owner, ownerX5t, agent, exe, exeSha256).changes === 1) return
    throw new ZtError('ZT-409-IDENTIFIER', 'a process of this id exists on the node')
  }

  /** Inside the transaction of `proc.started`. */
  started(proc: ProcId, at: { readonly started: number; readonly beganMs: number }): void {
    this.#start.run(at.started, at.beganMs, proc)
  }

  /** Inside the transaction of the row that says how it ended. */
  ended(
    proc: ProcId,
    end: { readonly state: 'exited' | 'failed' | 'lost'; readonly atMs: number; readonly exit?: ExitStatus },
  ): void {
    const { code = null, signal = null, limit = null } = end.exit ?? {}
    this.#end.run(end.state, end.atMs, code, signal, limit, proc)
  }

  find(proc: ProcId): ProcessRecord | undefined {
    const row = this.#find.get(proc)
    return row === undefined ? undefined : line({ ...row }, 'process')
  }

  /** Whose end is not recorded. */
  open(): readonly ProcessRecord[] {
    return this.#open.all().map((row) => line({ ...row }, 'process'))
  }

  /** Those that ever ran, running ones first, then newest first. */
  newest(options: { readonly all: boolean; readonly limit: number }): readonly ProcessRecord[] {
    return this.#newest.all(options.all ? 1 : 0, options.limit).map((row) => line({ ...row }, 'process'))
  }

  prune(): void {
    this.#forget.run(MAX_ENDED)
  }
}

// Columns that an older agent did not have.
function addMissing(database: DatabaseSync): void {
  const present = new Set(
    database
      .prepare(`SELECT name FROM pragma_table_info('process')`)
      .all()
      .map(({ name }) => name),
  )
  for (const column of ['owner_x5t', 'agent'])
    if (!present.has(column)) database.exec(`ALTER TABLE process ADD COLUMN ${column} TEXT`)
}

/** undefined while it runs, and if nobody saw how it ended */
export function exitOf({ state, code, signal, limit }: ProcessRecord): ExitStatus | undefined {
  if (state !== 'exited') return undefined
  return {
    ...(code !== null && { code }),
    ...(signal !== null && { signal }),
    ...(limit !== null && { limit }),
  }
}
