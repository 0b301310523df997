// Numbers of which the node must never believe less than it once did: the time, the version of the policy, the version
// of the deny list. They are in the database of the log and only ever grow.
import type { DatabaseSync, StatementSync } from 'node:sqlite'

/** clock: UTC, ms · policy, deny: versions · consumed-since: UTC, ms */
export type MarkName = 'clock' | 'policy' | 'deny' | 'consumed-since'

const SCHEMA = `
CREATE TABLE IF NOT EXISTS mark (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
`

export class Marks {
  readonly #raise: StatementSync
  readonly #values = new Map<string, number>()

  constructor(database: DatabaseSync) {
    database.exec(SCHEMA)
    for (const { name, value } of database.prepare('SELECT name, value FROM mark').all()) {
      this.#values.set(String(name), Number(value))
    }
    this.#raise = database.prepare(
      'INSERT INTO mark VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)',
    )
  }

  /** undefined before it was ever raised */
  value(name: MarkName): number | undefined {
    return this.#values.get(name)
  }

  /** Raises the mark if `value` is above it. Inside a transaction of a row it costs no write of its own. */
  raise(name: MarkName, value: number): void {
    const before = this.#values.get(name)
    if (before !== undefined && before >= value) return
    // First in memory: what could not be written is still not believed less of while this process lives.
    this.#values.set(name, value)
    this.#raise.run(name, value)
  }
}
