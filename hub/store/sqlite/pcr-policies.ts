// PCR policies, all of them: what was in force when a quote was accepted can be read later.
import type { PcrPolicyStore, StoredPcrPolicy } from '../store.ts'
import type { Database } from './database.ts'

export class SqlitePcrPolicies implements PcrPolicyStore {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  current(): Promise<StoredPcrPolicy | undefined> {
    return this.#db.read(() => {
      const row = this.#db.get('SELECT * FROM pcr_policies ORDER BY version DESC LIMIT 1')
      if (row === undefined) return undefined
      return {
        version: Number(row['version']),
        digest: String(row['digest']),
        note: String(row['note']),
        appliedAt: Number(row['applied_at']),
        appliedBy: String(row['applied_by']),
      }
    })
  }

  apply({ version, digest, note, appliedAt, appliedBy }: StoredPcrPolicy): Promise<boolean> {
    const sql = `INSERT INTO pcr_policies (version, digest, note, applied_at, applied_by) SELECT ?, ?, ?, ?, ?
      WHERE NOT EXISTS (SELECT 1 FROM pcr_policies WHERE version >= ?)`
    return this.#db.write(() => this.#db.run(sql, version, digest, note, appliedAt, appliedBy, version) === 1)
  }
}
