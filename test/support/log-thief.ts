// Who holds the file of an audit log, and wants its history to be another one: with the file alone, with every hash made
// again, or with the log's own key besides. Also while its agent runs: SQLite lets anybody write who may.
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import type { NoteSigner } from '#shared/log/note.ts'
import type { StoredRow } from '#shared/log/record.ts'
import { encodeRow, parseRow, type RowBody } from '#shared/log/row.ts'
import { chainRows, signedHead } from './log-fixture.ts'

export type Rewrite = (rows: readonly StoredRow[]) => readonly StoredRow[]

const PATIENCE_MS = 10_000

/** Puts other rows in the place of those of the file, in one step; the tripwires are removed first. */
export function rewriteLog(file: string, rewrite: Rewrite): void {
  inOneStep(file, (database) => {
    for (const { name } of database.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").all())
      database.exec(`DROP TRIGGER "${String(name)}"`)
    const rows = rewrite(rowsIn(database))
    database.exec('DELETE FROM audit')
    const insert = database.prepare('INSERT INTO audit (seq, prev, body, hash) VALUES (?, ?, ?, ?)')
    for (const { seq, prev, body, hash } of rows) insert.run(seq, prev, body, hash)
  })
}

/** Signs for the rows of the file as if they had always been the only ones; nothing that was signed before is left. */
export function signAnew(file: string, key: NoteSigner): void {
  let note = ''
  inOneStep(file, (database) => {
    const rows = rowsIn(database)
    note = signedHead(rows, key)
    database.exec('DELETE FROM audit_checkpoint')
    database
      .prepare('INSERT INTO audit_checkpoint (size, note, keep) VALUES (?, ?, 1)')
      .run(rows.length, note)
  })
  const head = `${file}.head`
  if (!existsSync(head)) return
  rmSync(head)
  writeFileSync(head, note, { mode: 0o600 })
}

/** Another body in one place, and nothing else. */
export function withBody(seq: number, change: (body: Buffer) => void): Rewrite {
  return (rows) =>
    rows.map((row) => {
      if (row.seq !== seq) return row
      const body = Buffer.from(row.body)
      change(body)
      return { ...row, body }
    })
}

/** Without one row, and nothing else. */
export function withoutRow(seq: number): Rewrite {
  return (rows) => rows.filter((row) => row.seq !== seq)
}

/** As if these rows had always been the history: numbered from the beginning, and every hash right. */
export function asHistory(rewrite: Rewrite): Rewrite {
  return (rows) => {
    const bodies: RowBody[] = rewrite(rows).map((row) => parseRow(row.body))
    return chainRows(bodies.map((body, at) => encodeRow({ ...body, seq: at })))
  }
}

function rowsIn(database: DatabaseSync): StoredRow[] {
  const rows = database.prepare('SELECT seq, prev, body, hash FROM audit ORDER BY seq').all()
  return rows as unknown as StoredRow[]
}

function inOneStep(file: string, action: (database: DatabaseSync) => void): void {
  const database = new DatabaseSync(file, { timeout: PATIENCE_MS })
  try {
    database.exec('BEGIN IMMEDIATE')
    action(database)
    database.exec('COMMIT; PRAGMA wal_checkpoint(TRUNCATE)')
  } finally {
    database.close()
  }
}
