// Which SVIDs live, and what they chain to: what has to end before a root may be retired, and whose connections end
// when an intermediate is revoked.
import type { RootCount, SvidLedger, SvidRecord } from '../store.ts'
import type { Database } from './database.ts'

export class SqliteSvids implements SvidLedger {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  record({ thumbprint, id, issuer, root, expires }: SvidRecord): Promise<void> {
    return this.#db.write(() => {
      const sql = 'INSERT INTO svids (thumbprint, id, issuer, root, expires) VALUES (?, ?, ?, ?, ?)'
      this.#db.run(sql, thumbprint, id, issuer, root, expires)
    })
  }

  find(thumbprint: string, now: number): Promise<SvidRecord | undefined> {
    const sql = 'SELECT * FROM svids WHERE thumbprint = ? AND expires > ?'
    return this.#db.read(() => {
      const row = this.#db.get(sql, thumbprint, now)
      if (row === undefined) return undefined
      const text = (column: string): string => String(row[column])
      const [id, issuer, root] = [text('id'), text('issuer'), text('root')]
      return { thumbprint, id, issuer, root, expires: Number(row['expires']) }
    })
  }

  live(id: string, now: number): Promise<number> {
    const sql = 'SELECT count(*) AS live FROM svids WHERE id = ? AND expires > ?'
    return this.#db.read(() => Number(this.#db.get(sql, id, now)?.['live'] ?? 0))
  }

  endOthers(id: string, thumbprint: string): Promise<void> {
    return this.#db.write(() => {
      this.#db.run('DELETE FROM svids WHERE id = ? AND thumbprint <> ?', id, thumbprint)
    })
  }

  count(now: number): Promise<readonly RootCount[]> {
    const sql = 'SELECT root, count(*) AS live FROM svids WHERE expires > ? GROUP BY root ORDER BY root'
    return this.#db.read(() =>
      this.#db.all(sql, now).map((row) => ({ root: String(row['root']), live: Number(row['live']) })),
    )
  }

  natsKeysBelow(issuer: string, now: number): Promise<readonly string[]> {
    const sql = `SELECT c.nats_key FROM credentials AS c JOIN svids AS s ON s.thumbprint = c.thumbprint
      WHERE s.issuer = ? AND c.expires > ? ORDER BY c.nats_key`
    return this.#db.read(() => this.#db.all(sql, issuer, now).map((row) => String(row['nats_key'])))
  }
}
