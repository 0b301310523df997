// One SQLite file, opened by one process at a time. A store is created once, by name, and never by accident: a hub that
// finds no file stops, because a new empty store would have forgotten every revocation.
import { closeSync, openSync } from 'node:fs'
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { ZtError } from '#shared/errors/error.ts'

const SCHEMA_VERSION = 1

const SCHEMA = `
CREATE TABLE join_tokens (
  hash BLOB PRIMARY KEY, node TEXT NOT NULL, replaces INTEGER NOT NULL, created_by TEXT NOT NULL,
  expires INTEGER NOT NULL, device BLOB
) STRICT, WITHOUT ROWID;
CREATE TABLE nodes (
  name TEXT PRIMARY KEY, device BLOB, lvl INTEGER NOT NULL, boot TEXT NOT NULL, fence INTEGER NOT NULL,
  log_origin TEXT, log_vkey TEXT, enc_key TEXT, joined_at INTEGER NOT NULL, last_seen INTEGER NOT NULL,
  anchor_size INTEGER, anchor_root TEXT, anchor_note TEXT, anchor_at INTEGER,
  revoked_at INTEGER, distrusted_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE equivocations (
  id INTEGER PRIMARY KEY, node TEXT NOT NULL, held TEXT NOT NULL, received TEXT NOT NULL, at INTEGER NOT NULL
) STRICT;
CREATE TABLE denials (
  one INTEGER PRIMARY KEY CHECK (one = 1), ver INTEGER NOT NULL, entries TEXT NOT NULL
) STRICT;
INSERT INTO denials VALUES (1, 0, '[]');
CREATE TABLE credentials (
  nats_key TEXT PRIMARY KEY, id TEXT NOT NULL, thumbprint TEXT NOT NULL, expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX credentials_by_id ON credentials (id, expires);
CREATE INDEX credentials_by_expiry ON credentials (expires);
CREATE TABLE seen_nonces (
  iss TEXT NOT NULL, nonce TEXT NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (iss, nonce)
) STRICT, WITHOUT ROWID;
CREATE INDEX seen_nonces_by_time ON seen_nonces (until);
CREATE TABLE seen_jtis (jti TEXT PRIMARY KEY, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX seen_jtis_by_time ON seen_jtis (until);
CREATE TABLE identifiers (
  identifier TEXT PRIMARY KEY, claimed_by TEXT NOT NULL, at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX identifiers_by_time ON identifiers (at);
CREATE TABLE enc_keys (
  kid TEXT PRIMARY KEY, sealed BLOB NOT NULL, not_after INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE policies (ver INTEGER PRIMARY KEY, digest TEXT NOT NULL) STRICT;
PRAGMA user_version = ${SCHEMA_VERSION};
`

export type Row = Readonly<Record<string, unknown>>

/** Prepared statements and transactions over one connection; every failure is ZT-503-STORE. */
export class Database {
  readonly #db: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()

  constructor(db: DatabaseSync) {
    this.#db = db
  }

  /** Runs `work` in one transaction that is on disk when the promise resolves. */
  write<T>(work: () => T): Promise<T> {
    return this.#attempt(() => {
      this.#db.exec('BEGIN IMMEDIATE')
      try {
        const result = work()
        this.#db.exec('COMMIT')
        return result
      } catch (error) {
        // After a failed COMMIT (a full disk) SQLite may have rolled back by itself.
        if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
        throw error
      }
    })
  }

  read<T>(work: () => T): Promise<T> {
    return this.#attempt(work)
  }

  /** Number of rows changed. */
  run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#statement(sql).run(...values).changes)
  }

  get(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.#statement(sql).get(...values)
  }

  all(sql: string, ...values: SQLInputValue[]): readonly Row[] {
    return this.#statement(sql).all(...values)
  }

  close(): void {
    this.#statements.clear()
    this.#db.close()
  }

  #statement(sql: string): StatementSync {
    const known = this.#statements.get(sql)
    if (known !== undefined) return known
    const statement = this.#db.prepare(sql)
    this.#statements.set(sql, statement)
    return statement
  }

  // The connection is synchronous: nothing else runs between BEGIN and COMMIT.
  async #attempt<T>(work: () => T): Promise<T> {
    try {
      return work()
    } catch (cause) {
      if (cause instanceof ZtError) throw cause
      throw new ZtError('ZT-503-STORE', 'the store could not be read or written', { cause })
    }
  }
}

function connect(file: string): DatabaseSync {
  const db = new DatabaseSync(file, { enableDoubleQuotedStringLiterals: false })
  // EXCLUSIVE: two hubs on one store would each think that they alone consume a token.
  db.exec('PRAGMA locking_mode = EXCLUSIVE')
  db.exec('PRAGMA journal_mode = WAL')
  db.exec('PRAGMA synchronous = FULL')
  db.exec('PRAGMA trusted_schema = OFF')
  return db
}

/** Makes an empty store. Throws ZT-409-EXISTS if the file exists. */
export function createDatabase(file: string): void {
  try {
    closeSync(openSync(file, 'wx', 0o600))
  } catch (cause) {
    throw new ZtError('ZT-409-EXISTS', `the store ${file} exists or cannot be made`, { cause })
  }
  const db = connect(file)
  try {
    db.exec(`BEGIN IMMEDIATE;${SCHEMA}COMMIT;`)
  } finally {
    db.close()
  }
}

/** Opens a store that exists. Throws ZT-503-STORE if it does not, is held by another process or is of another version. */
export function openDatabase(file: string): Database {
  let db: DatabaseSync | undefined
  try {
    closeSync(openSync(file, 'r+'))
    db = connect(file)
    const version = db.prepare('PRAGMA user_version').get()?.['user_version']
    if (version === SCHEMA_VERSION) return new Database(db)
  } catch (cause) {
    db?.close()
    throw new ZtError('ZT-503-STORE', 'the store is missing, unreadable or in use by another hub', { cause })
  }
  db.close()
  throw new ZtError('ZT-503-STORE', `the store is not of version ${SCHEMA_VERSION}`)
}
