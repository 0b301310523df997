// What the hub has published of its own keys, and what it has fetched of other trust domains', each under its name.
import { ZtError } from '#shared/errors/error.ts'
import type { FederatedBundle, FederationStore, PublishedBundle } from '../store.ts'
import type { Database } from './database.ts'

export class SqliteFederation implements FederationStore {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  published(): Promise<PublishedBundle | undefined> {
    return this.#db.read(() => {
      const row = this.#db.get('SELECT digest, sequence FROM published_bundle')
      return row && { digest: String(row['digest']), sequence: Number(row['sequence']) }
    })
  }

  publish({ digest, sequence }: PublishedBundle): Promise<void> {
    return this.#db.write(() => {
      const changed = this.#db.run(
        `INSERT INTO published_bundle (one, digest, sequence) VALUES (1, ?, ?)
         ON CONFLICT (one) DO UPDATE SET digest = excluded.digest, sequence = excluded.sequence
         WHERE excluded.sequence > sequence`,
        digest,
        sequence,
      )
      if (changed !== 1)
        throw new ZtError('ZT-503-STORE', 'a bundle of a higher sequence was published before')
    })
  }

  list(): Promise<readonly FederatedBundle[]> {
    return this.#db.read(() =>
      this.#db.all('SELECT * FROM federated_bundles ORDER BY trust_domain').map((row) => ({
        trustDomain: String(row['trust_domain']),
        document: String(row['document']),
        fetchedAt: Number(row['fetched_at']),
        ...(typeof row['given'] === 'string' && { given: row['given'] }),
      })),
    )
  }

  put({ trustDomain, document, fetchedAt, given }: FederatedBundle): Promise<void> {
    return this.#db.write(() => {
      this.#db.run(
        'INSERT OR REPLACE INTO federated_bundles (trust_domain, document, fetched_at, given) VALUES (?, ?, ?, ?)',
        trustDomain,
        document,
        fetchedAt,
        given ?? null,
      )
    })
  }

  remove(trustDomain: string): Promise<void> {
    return this.#db.write(() => {
      this.#db.run('DELETE FROM federated_bundles WHERE trust_domain = ?', trustDomain)
    })
  }
}
