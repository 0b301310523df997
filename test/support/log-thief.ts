// Who holds the file of an audit log, and wants its history to be another one: with the file alone, with every hash made
// again, or with the log's own key besides.
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { openLogReader } from '#shared/host/log-reader.ts'
import type { NoteSigner } from '#shared/log/note.ts'
import type { StoredRow } from '#shared/log/record.ts'
import { encodeRow, parseRow, type RowBody } from '#shared/log/row.ts'
import { chainRows, signedHead } from './log-fixture.ts'

/** The rows of a log that nobody writes to, as they are stored. */
export function storedRows(file: string): StoredRow[] {
  const reader = openLogReader(file)
  try {
    return Array.from(reader.rows(), ({ seq, prev, body, hash }) => ({
      seq,
      prev: Buffer.from(prev),
      body: Buffer.from(body),
      hash: Buffer.from(hash),
    }))
  } finally {
    reader.close()
  }
}

/** The same history with another body in one place, and every hash right. */
export function rewriteRow(rows: readonly StoredRow[], seq: number, body: Uint8Array): StoredRow[] {
  return chainRows(rows.map((row) => (row.seq === seq ? body : row.body)))
}

/** The same history as if the row had never been: later ones are numbered anew, and every hash is right. */
export function forgetRow(rows: readonly StoredRow[], seq: number): StoredRow[] {
  const bodies: RowBody[] = rows.filter((row) => row.seq !== seq).map((row) => parseRow(row.body))
  return chainRows(bodies.map((body, at) => encodeRow({ ...body, seq: at })))
}

/** Puts rows in the place of those of the file; the tripwires are removed first. */
export function replaceRows(file: string, rows: readonly StoredRow[]): void {
  const database = new DatabaseSync(file)
  try {
    for (const { name } of database.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'").all())
      database.exec(`DROP TRIGGER "${String(name)}"`)
    database.exec('BEGIN; DELETE FROM audit')
    const insert = database.prepare('INSERT INTO audit (seq, prev, body, hash) VALUES (?, ?, ?, ?)')
    for (const { seq, prev, body, hash } of rows) insert.run(seq, prev, body, hash)
    database.exec('COMMIT; PRAGMA wal_checkpoint(TRUNCATE)')
  } finally {
    database.close()
  }
}

/** Signs for the rows of the file as if they had always been the only ones; nothing that was signed before is left. */
export function signAnew(file: string, rows: readonly StoredRow[], key: NoteSigner): void {
  const note = signedHead(rows, key)
  const database = new DatabaseSync(file)
  try {
    database.exec('DELETE FROM audit_checkpoint')
    database
      .prepare('INSERT INTO audit_checkpoint (size, note, keep) VALUES (?, ?, 1)')
      .run(rows.length, note)
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  } finally {
    database.close()
  }
  const head = `${file}.head`
  if (!existsSync(head)) return
  rmSync(head)
  writeFileSync(head, note, { mode: 0o600 })
}
