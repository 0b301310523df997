// One SQLite file, opened by one process at a time. A store is created once, by name, and never by accident: a hub that
// finds no file stops, because a new empty store would have forgotten every revocation.
import { closeSync, openSync } from 'node:fs'
import { setImmediate as yieldToLoop } from 'node:timers/promises'
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite'
import { ZtError } from '#shared/errors/error.ts'
import { isKnownVersion, SCHEMA_VERSION, stepsAfter } from './schema.ts'

export type Row = Readonly<Record<string, unknown>>

interface Waiting {
  /** Runs the work and keeps its outcome; true if it may stay in the transaction. */
  run(): boolean
  /** The outcome, once the transaction is on disk. */
  settle(): void
  fail(error: unknown): void
}

const broken = (cause: unknown): ZtError =>
  cause instanceof ZtError
    ? cause
    : new ZtError('ZT-503-STORE', 'the store could not be read or written', { cause })

/**
 * Prepared statements and transactions over one connection; every failure is ZT-503-STORE. Writes that come up in one
 * turn of the event loop share a commit, and so a sync: each is still done wholly or not at all, one after the other.
 */
export class Database {
  readonly #db: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()
  #queue: Waiting[] = []
  #flushing: Promise<void> | undefined
  #closed = false

  constructor(db: DatabaseSync) {
    this.#db = db
  }

  /** Runs `work` wholly or not at all; it is on disk when the promise resolves. What `work` throws fails it alone. */
  write<T>(work: () => T): Promise<T> {
    if (this.#closed) return Promise.reject(new ZtError('ZT-503-STORE', 'the store is closed'))
    return new Promise<T>((resolve, reject) => {
      let outcome: () => void = () => reject(new ZtError('ZT-503-STORE', 'the write was not reached'))
      this.#queue.push({
        run: () => {
          try {
            const result = work()
            outcome = () => resolve(result)
            return true
          } catch (error) {
            outcome = () => reject(broken(error))
            return false
          }
        },
        settle: () => outcome(),
        fail: (error) => reject(broken(error)),
      })
      this.#flushing ??= this.#flush()
    })
  }

  async read<T>(work: () => T): Promise<T> {
    try {
      return work()
    } catch (cause) {
      throw broken(cause)
    }
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

  /** Writes what waits, then closes. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#flushing
    this.#statements.clear()
    this.#db.close()
  }

  async #flush(): Promise<void> {
    while (this.#queue.length > 0) {
      await yieldToLoop()
      const batch = this.#queue
      this.#queue = []
      try {
        this.#commit(batch)
      } catch (error) {
        for (const waiting of batch) waiting.fail(error)
        continue
      }
      // Only what is on disk is told.
      for (const waiting of batch) waiting.settle()
    }
    this.#flushing = undefined
  }

  #commit(batch: readonly Waiting[]): void {
    this.#db.exec('BEGIN IMMEDIATE')
    try {
      for (const waiting of batch) {
        this.#db.exec('SAVEPOINT one')
        if (!waiting.run()) this.#db.exec('ROLLBACK TO one')
        this.#db.exec('RELEASE one')
      }
      this.#db.exec('COMMIT')
    } catch (error) {
      // After some failures (a full disk) SQLite has rolled everything back by itself.
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      throw error
    }
  }

  #statement(sql: string): StatementSync {
    const known = this.#statements.get(sql)
    if (known !== undefined) return known
    const statement = this.#db.prepare(sql)
    this.#statements.set(sql, statement)
    return statement
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
    migrate(db, 'empty')
  } finally {
    db.close()
  }
}

/** One transaction: a crash leaves the store of one version or of the other. */
function migrate(db: DatabaseSync, version: number | 'empty'): void {
  const steps = stepsAfter(version).join('')
  db.exec(`BEGIN IMMEDIATE;${steps}PRAGMA user_version = ${SCHEMA_VERSION};COMMIT;`)
}

/**
 * Opens a store that exists, and brings one of an earlier version up to this one. Throws ZT-503-STORE if it does not
 * exist, is held by another process, or is of a version that this program does not know.
 */
export function openDatabase(file: string): Database {
  let db: DatabaseSync | undefined
  try {
    closeSync(openSync(file, 'r+'))
    db = connect(file)
    const version = Number(db.prepare('PRAGMA user_version').get()?.['user_version'])
    if (!isKnownVersion(version))
      throw new ZtError('ZT-503-STORE', `the store is of version ${version}, which this hub does not know`)
    migrate(db, version)
    return new Database(db)
  } catch (cause) {
    db?.close()
    if (cause instanceof ZtError) throw cause
    throw new ZtError('ZT-503-STORE', 'the store is missing, unreadable or in use by another hub', { cause })
  }
}
