// The tables of a log file, and the check that a file has these and nothing that would change what a SELECT returns.
import type { DatabaseSync } from 'node:sqlite'
import { ZtError } from '#shared/errors/error.ts'

export const SCHEMA: readonly string[] = [
  `CREATE TABLE audit (
  seq INTEGER PRIMARY KEY,
  prev BLOB NOT NULL,
  body BLOB NOT NULL,
  hash BLOB NOT NULL UNIQUE
) STRICT`,
  `CREATE TABLE audit_tile (
  level INTEGER NOT NULL,
  idx INTEGER NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY (level, idx)
) STRICT, WITHOUT ROWID`,
  `CREATE TABLE audit_checkpoint (
  size INTEGER PRIMARY KEY,
  note TEXT NOT NULL,
  keep INTEGER NOT NULL
) STRICT`,
  `CREATE TABLE audit_state (
  id INTEGER PRIMARY KEY CHECK (id = 0),
  closed INTEGER NOT NULL
) STRICT`,
]

// A tripwire against mistakes, not security: who can write the file can drop them. The chain is what shows a change.
export const TRIGGERS: readonly string[] = ['audit', 'audit_tile'].flatMap((table) =>
  ['UPDATE', 'DELETE'].map(
    (verb) =>
      `CREATE TRIGGER IF NOT EXISTS ${table}_no_${verb.toLowerCase()} BEFORE ${verb} ON ${table}
BEGIN SELECT RAISE(ABORT, 'audit rows are never changed'); END`,
  ),
)

/** The tables as an SQL list. */
export const TABLES = "'audit', 'audit_tile', 'audit_checkpoint', 'audit_state'"

/**
 * Throws ZT-490-UNVERIFIABLE unless the tables of the log are declared exactly as above. Indexes of others on them are
 * refused, because SQLite may answer from an index what the table does not hold; missing triggers are not.
 */
export function checkSchema(database: DatabaseSync): void {
  const objects = database
    .prepare(`SELECT type, name, sql FROM sqlite_schema WHERE tbl_name IN (${TABLES})`)
    .all()
    .map((row) => ({ type: String(row['type']), name: String(row['name']), sql: row['sql'] }))
  const tables = objects
    .filter((object) => object.type === 'table' || object.type === 'view')
    .map((o) => o.sql)
  const asDeclared = tables.length === SCHEMA.length && SCHEMA.every((sql) => tables.includes(sql))
  if (!asDeclared) throw new ZtError('ZT-490-UNVERIFIABLE', 'the tables of the log are not the declared ones')
  const strange = objects.find(
    (object) => object.type === 'index' && !object.name.startsWith('sqlite_autoindex_'),
  )
  if (strange !== undefined)
    throw new ZtError('ZT-490-UNVERIFIABLE', 'the log has an index that is not its own')
}
