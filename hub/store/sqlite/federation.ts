// What the hub has published of its own keys, and what it has fetched of other trust domains', each under its name.
import type { FederatedBundle, FederationStore } from '../store.ts'
import type { Database } from './database.ts'

export class SqliteFederation implements FederationStore {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  publish(digest: string, floor: number): Promise<{ readonly sequence: number; readonly changed: boolean }> {
    return this.#db.write(() => {
      const last = this.#db.get('SELECT digest, sequence FROM published_bundle')
      if (last?.['digest'] === digest) return { sequence: Number(last['sequence']), changed: false }
      const sequence = Math.max(Number(last?.['sequence'] ?? 0) + 1, floor)
      this.#db.run(
        `INSERT INTO published_bundle (one, digest, sequence) VALUES (1, ?, ?)
         ON CONFLICT (one) DO UPDATE SET digest = excluded.digest, sequence = excluded.sequence`,
        digest,
        sequence,
      )
      return { sequence, changed: true }
    })
  }

  list(): Promise<readonly FederatedBundle[]> {
    return this.#db.read(() =>
      this.#db
        .all('SELECT trust_domain, document, fetched_at FROM federated_bundles ORDER BY trust_domain')
        .map((row) => ({
          trustDomain: String(row['trust_domain']),
          document: String(row['document']),
          fetchedAt: Number(row['fetched_at']),
        })),
    )
  }

  put({ trustDomain, document, fetchedAt }: FederatedBundle): Promise<void> {
    return this.#db.write(() => {
      this.#db.run(
        `INSERT INTO federated_bundles (trust_domain, document, fetched_at) VALUES (?, ?, ?)
         ON CONFLICT (trust_domain) DO UPDATE SET document = excluded.document, fetched_at = excluded.fetched_at`,
        trustDomain,
        document,
        fetchedAt,
      )
    })
  }

  remove(trustDomain: string): Promise<void> {
    return this.#db.write(() => {
      this.#db.run('DELETE FROM federated_bundles WHERE trust_domain = ?', trustDomain)
    })
  }
}
