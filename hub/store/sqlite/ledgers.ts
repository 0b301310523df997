// The small ledgers: each remembers one kind of thing, so that it happens once or stays refused.
import { ZtError } from '#shared/errors/error.ts'
import type { DenyEntry } from '#shared/protocol/deny-list.ts'
import type {
  CredentialStore,
  Denials,
  DenyStore,
  EncKeyStore,
  IdentifierStore,
  IssuedCredential,
  MessageStore,
  PolicyVersionStore,
  SealedEncKey,
  SeenMessage,
} from '../store.ts'
import type { Database, Row } from './database.ts'

/** How long an identifier stays taken, milliseconds: far longer than a token for it can live. */
export const IDENTIFIER_MEMORY_MS: number = 24 * 60 * 60_000

export class SqliteDenials implements DenyStore {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  read(): Promise<Denials> {
    return this.#db.read(() => {
      const row = this.#db.get('SELECT ver, entries FROM denials')
      // Without its row the list would read as empty, which is the one thing it must never do by mistake.
      if (row === undefined) throw new ZtError('ZT-503-STORE', 'the deny list is missing from the store')
      return { ver: Number(row['ver']), entries: JSON.parse(String(row['entries'])) as DenyEntry[] }
    })
  }

  replace(expectVer: number, { ver, entries }: Denials): Promise<boolean> {
    return this.#db.write(
      () =>
        this.#db.run(
          'UPDATE denials SET ver = ?, entries = ? WHERE ver = ? AND ver < ?',
          ver,
          JSON.stringify(entries),
          expectVer,
          ver,
        ) === 1,
    )
  }
}

export class SqliteCredentials implements CredentialStore {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  add({ id, natsKey, thumbprint, expires, device }: IssuedCredential): Promise<void> {
    return this.#db.write(() => {
      // A principal may keep its NATS key from one SVID to the next; another principal may not take it.
      const changed = this.#db.run(
        `INSERT INTO credentials (nats_key, id, thumbprint, expires, device) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (nats_key) DO UPDATE SET thumbprint = excluded.thumbprint, expires = excluded.expires
         WHERE id = excluded.id AND device IS excluded.device`,
        natsKey,
        id,
        thumbprint,
        expires,
        device ?? null,
      )
      if (changed !== 1) throw new ZtError('ZT-401-EVIDENCE', 'nats.publicKey belongs to somebody else')
    })
  }

  live(id: string, now: number): Promise<readonly IssuedCredential[]> {
    return this.#db.read(() =>
      this.#db.all('SELECT * FROM credentials WHERE id = ? AND expires > ?', id, now).map(credentialOf),
    )
  }

  ofCertificate(thumbprint: string, now: number): Promise<readonly IssuedCredential[]> {
    return this.#db.read(() =>
      this.#db
        .all('SELECT * FROM credentials WHERE thumbprint = ? AND expires > ?', thumbprint, now)
        .map(credentialOf),
    )
  }
}

function credentialOf(row: Row): IssuedCredential {
  return {
    id: String(row['id']),
    natsKey: String(row['nats_key']),
    thumbprint: String(row['thumbprint']),
    expires: Number(row['expires']),
    ...(row['device'] !== null && { device: row['device'] as Uint8Array }),
  }
}

export class SqliteMessages implements MessageStore {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  remember({ iss, nonce, jti, until }: SeenMessage): Promise<boolean> {
    return this.#db.write(() => {
      const fresh = this.#db.run(
        'INSERT INTO seen_nonces (iss, nonce, until) VALUES (?, ?, ?) ON CONFLICT DO NOTHING',
        iss,
        nonce,
        until,
      )
      const once = this.#db.run(
        'INSERT INTO seen_jtis (jti, until) VALUES (?, ?) ON CONFLICT DO NOTHING',
        jti,
        until,
      )
      // A message that reuses one of the two is refused, and burns the other as well: it can only be a forgery.
      return fresh === 1 && once === 1
    })
  }
}

export class SqliteIdentifiers implements IdentifierStore {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  claim(claim: { readonly identifier: string; readonly by: string; readonly now: number }): Promise<boolean> {
    return this.#db.write(
      () =>
        this.#db.run(
          'INSERT INTO identifiers (identifier, claimed_by, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING',
          claim.identifier,
          claim.by,
          claim.now,
        ) === 1,
    )
  }
}

export class SqliteEncKeys implements EncKeyStore {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  add({ kid, sealed, notAfter }: SealedEncKey): Promise<void> {
    return this.#db.write(() => {
      this.#db.run('INSERT INTO enc_keys (kid, sealed, not_after) VALUES (?, ?, ?)', kid, sealed, notAfter)
    })
  }

  list(now: number): Promise<readonly SealedEncKey[]> {
    return this.#db.read(() =>
      this.#db.all('SELECT * FROM enc_keys WHERE not_after > ? ORDER BY not_after DESC', now).map((row) => ({
        kid: String(row['kid']),
        sealed: row['sealed'] as Uint8Array,
        notAfter: Number(row['not_after']),
      })),
    )
  }
}

export class SqlitePolicyVersions implements PolicyVersionStore {
  readonly #db: Database

  constructor(db: Database) {
    this.#db = db
  }

  activate(digest: string): Promise<{ readonly ver: number; readonly changed: boolean }> {
    return this.#db.write(() => {
      const last = this.#db.get('SELECT ver, digest FROM policies ORDER BY ver DESC LIMIT 1')
      if (last?.['digest'] === digest) return { ver: Number(last['ver']), changed: false }
      // A policy that comes back gets a new number: versions only grow, so a node can tell old from new.
      const ver = Number(last?.['ver'] ?? 0) + 1
      this.#db.run('INSERT INTO policies (ver, digest) VALUES (?, ?)', ver, digest)
      return { ver, changed: true }
    })
  }
}
