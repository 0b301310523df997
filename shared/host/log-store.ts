// The SQLite file of one audit log: rows, full tiles, signed heads. It keeps and returns bytes and judges none of them;
// what it promises is that a transaction is durable once `commit` returns, and otherwise never happened.
import { closeSync, existsSync, openSync } from 'node:fs'
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { ZtError } from '#shared/errors/error.ts'
import type { RowRecord } from '#shared/log/record.ts'
import type { FullTile } from '#shared/log/tree-edge.ts'
import { checkSchema, SCHEMA, TABLES, TRIGGERS } from './log-schema.ts'

/** SQL in the transaction of a row. Statements are prepared once. */
export interface Transaction {
  run(sql: string, ...values: SQLInputValue[]): number
  get(sql: string, ...values: SQLInputValue[]): Record<string, unknown> | undefined
}

export interface StoredCheckpoint {
  readonly size: number
  readonly note: string
  readonly keep: boolean
}

export interface StoredHead {
  readonly size: number
  /** of the last row; undefined in an empty log */
  readonly hash: Uint8Array | undefined
}

const PAGE_ROWS = 256
const BUSY_MS = 1_000

export class LogStore implements Transaction {
  readonly database: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()

  private constructor(database: DatabaseSync) {
    this.database = database
  }

  /**
   * Makes the file, readable by its owner alone, and its tables. ZT-409-EXISTS if it exists, ZT-503-AUDIT if it
   * cannot be made.
   */
  static create(file: string): LogStore {
    try {
      closeSync(openSync(file, 'wx', 0o600))
    } catch (cause) {
      if (existsSync(file)) throw new ZtError('ZT-409-EXISTS', 'the log file exists already', { cause })
      throw new ZtError('ZT-503-AUDIT', 'the log file cannot be made', { cause })
    }
    return guarded('the log file cannot be made', () => {
      const store = new LogStore(openForWriting(file))
      store.database.exec(`BEGIN IMMEDIATE; ${SCHEMA.join(';')}; ${TRIGGERS.join(';')}; COMMIT`)
      return store
    })
  }

  /** Opens an existing file for writing. ZT-503-AUDIT if it cannot be, ZT-490-UNVERIFIABLE if its tables are not ours. */
  static open(file: string): LogStore {
    if (!existsSync(file)) throw new ZtError('ZT-503-AUDIT', 'the log file does not exist')
    return guarded('the log file cannot be opened', () => {
      const store = new LogStore(openForWriting(file))
      checkSchema(store.database)
      return store
    })
  }

  /**
   * Opens a file, or a copy of one, that is never written to; all that is read of it is of this moment.
   * ZT-490-UNVERIFIABLE if it cannot be read or its tables are not ours.
   */
  static openReadOnly(file: string): LogStore {
    let database: DatabaseSync | undefined
    try {
      database = new DatabaseSync(readOnlyLocation(file), { readOnly: true, timeout: BUSY_MS })
      database.exec('PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; BEGIN')
      checkSchema(database)
      const store = new LogStore(database)
      store.head()
      return store
    } catch (cause) {
      database?.close()
      if (cause instanceof ZtError) throw cause
      throw new ZtError('ZT-490-UNVERIFIABLE', 'the log file cannot be read', { cause })
    }
  }

  run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#statement(sql).run(...values).changes)
  }

  get(sql: string, ...values: SQLInputValue[]): Record<string, unknown> | undefined {
    return this.#statement(sql).get(...values)
  }

  begin(): void {
    this.#statement('BEGIN IMMEDIATE').run()
  }

  /** When this returns, what was written since `begin` has been synced to the disk. */
  commit(): void {
    this.#statement('COMMIT').run()
  }

  /** Undoes the open transaction, if SQLite has not done so itself after a full disk or an I/O error. */
  rollback(): void {
    if (this.database.isTransaction) this.#statement('ROLLBACK').run()
  }

  insertRow(seq: number, link: { prev: Uint8Array; hash: Uint8Array }, body: Uint8Array): void {
    this.run('INSERT INTO audit (seq, prev, body, hash) VALUES (?, ?, ?, ?)', seq, link.prev, body, link.hash)
  }

  insertTile(tile: FullTile): void {
    this.run('INSERT INTO audit_tile (level, idx, data) VALUES (?, ?, ?)', tile.level, tile.index, tile.data)
  }

  head(): StoredHead {
    const row = this.get('SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1')
    return row === undefined
      ? { size: 0, hash: undefined }
      : { size: Number(row['seq']) + 1, hash: blob(row['hash']) }
  }

  /** The highest time that any row claims, whatever its place; -1 if none does. Looks at every row. */
  latestTime(): number {
    const text = 'CAST(body AS TEXT)'
    const row = this.get(
      `SELECT max(CASE WHEN json_valid(${text}) THEN ${text} ->> '$.ts' END) AS ts FROM audit`,
    )
    return typeof row?.['ts'] === 'number' ? row['ts'] : -1
  }

  hashOf(seq: number): Uint8Array | undefined {
    const row = this.get('SELECT hash FROM audit WHERE seq = ?', seq)
    return row === undefined ? undefined : blob(row['hash'])
  }

  /** A full tile, or undefined. */
  tile(level: number, index: number): Uint8Array | undefined {
    const row = this.get('SELECT data FROM audit_tile WHERE level = ? AND idx = ?', level, index)
    return row === undefined ? undefined : blob(row['data'])
  }

  /** Rows from `from` up to, not including, `to`, in order of their numbers; read page by page. */
  *records(from: number, to: number): Generator<RowRecord> {
    for (let next = from; next < to;) {
      const page = this.#page(next, to)
      yield* page
      const last = page.at(-1)
      if (last === undefined || page.length < PAGE_ROWS) return
      next = last.seq + 1
    }
  }

  // One blob a row: three would cost as much again as everything else that is done with a row.
  // The lengths are looked at because a byte moved from one column into the next would leave the blob unchanged.
  #page(from: number, to: number): RowRecord[] {
    const statement = this.#statement(
      `SELECT seq, CASE WHEN length(hash) = 32 AND length(prev) = 32 AND length(body) > 0
         THEN CAST(hash || x'00' || prev || body AS BLOB) ELSE x'' END
       FROM audit WHERE seq >= ? AND seq < ? ORDER BY seq LIMIT ${PAGE_ROWS}`,
    )
    statement.setReturnArrays(true)
    const rows = statement.all(from, to) as unknown as [number, Uint8Array][]
    return rows.map(([seq, bytes]) => ({
      seq,
      bytes: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength),
    }))
  }

  /** Every kept head, oldest first. */
  checkpoints(): StoredCheckpoint[] {
    const rows = this.#statement('SELECT size, note, keep FROM audit_checkpoint ORDER BY size').all()
    return rows.map((row) => ({
      size: Number(row['size']),
      note: String(row['note']),
      keep: row['keep'] === 1,
    }))
  }

  /**
   * Stores a head without waiting for the disk: after a power cut the rows are there, which were synced before, and the
   * head is signed again. `instead` is the one it replaces, if that was not worth keeping.
   */
  storeCheckpoint(head: StoredCheckpoint, instead: number | undefined): void {
    this.database.exec('PRAGMA synchronous = NORMAL')
    try {
      this.begin()
      if (instead !== undefined) this.run('DELETE FROM audit_checkpoint WHERE size = ? AND keep = 0', instead)
      this.run(
        'INSERT OR REPLACE INTO audit_checkpoint (size, note, keep) VALUES (?, ?, ?)',
        head.size,
        head.note,
        head.keep ? 1 : 0,
      )
      this.commit()
    } catch (cause) {
      this.rollback()
      throw cause
    } finally {
      this.database.exec('PRAGMA synchronous = FULL')
    }
  }

  /** Whether the log was closed in order the last time. */
  wasClosed(): boolean {
    return this.get('SELECT closed FROM audit_state')?.['closed'] === 1
  }

  setClosed(closed: boolean): void {
    this.run('INSERT OR REPLACE INTO audit_state (id, closed) VALUES (0, ?)', closed ? 1 : 0)
  }

  /** Makes missing tripwires again; true if any was missing. */
  restoreTriggers(): boolean {
    const count = this.get(
      `SELECT count(*) AS n FROM sqlite_schema WHERE type = 'trigger' AND tbl_name IN (${TABLES})`,
    )
    if (Number(count?.['n']) >= TRIGGERS.length) return false
    this.database.exec(TRIGGERS.join(';'))
    return true
  }

  close(): void {
    this.database.close()
  }

  #statement(sql: string): StatementSync {
    const known = this.#statements.get(sql)
    if (known !== undefined) return known
    const statement = this.database.prepare(sql)
    this.#statements.set(sql, statement)
    return statement
  }
}

function openForWriting(file: string): DatabaseSync {
  const database = new DatabaseSync(file, { timeout: BUSY_MS })
  // fullfsync: on macOS a plain fsync does not reach the disk. recursive_triggers: else REPLACE deletes past the tripwire.
  database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA fullfsync = ON;
    PRAGMA checkpoint_fullfsync = ON; PRAGMA recursive_triggers = ON; PRAGMA trusted_schema = OFF;
    PRAGMA cell_size_check = ON`)
  return database
}

// Without a write-ahead log beside it the file is complete, and can be read even where nothing may be written.
function readOnlyLocation(file: string): URL | string {
  if (existsSync(`${file}-wal`)) return file
  const url = pathToFileURL(file)
  url.searchParams.set('immutable', '1')
  return url
}

function guarded<T>(message: string, action: () => T): T {
  try {
    return action()
  } catch (cause) {
    if (cause instanceof ZtError) throw cause
    throw new ZtError('ZT-503-AUDIT', message, { cause })
  }
}

function blob(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return value
  throw new ZtError('ZT-490-ROW', 'a stored hash or tile is not a byte string')
}
