// What was used once and must never be used again: nonces and ids of messages, ids of tokens. The rows live in the
// database of the audit log and are written in the transaction of the `cmd.accepted` row, so that "it was recorded"
// and "it was consumed" cannot come apart (authority-and-audit.md §3.3, §4.4 check 17).
import type { DatabaseSync, StatementSync } from 'node:sqlite'

import { ZtError } from '#shared/errors/error.ts'
import { retainUntil } from '#shared/protocol/envelope.ts'

const SCHEMA = `
CREATE TABLE IF NOT EXISTS consumed_nonce (
  issuer TEXT NOT NULL, nonce TEXT NOT NULL, keep_until_ms INTEGER NOT NULL, PRIMARY KEY (issuer, nonce)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS consumed_id (
  kind TEXT NOT NULL CHECK (kind IN ('message', 'token')), jti TEXT NOT NULL, keep_until_ms INTEGER NOT NULL,
  PRIMARY KEY (kind, jti)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS consumed_nonce_age ON consumed_nonce (keep_until_ms);
CREATE INDEX IF NOT EXISTS consumed_id_age ON consumed_id (keep_until_ms);
`

/** Times in seconds of UTC. */
export interface MessageUse {
  readonly issuer: string
  readonly nonce: string
  readonly jti: string
  readonly iat: number
  readonly exp: number
}

export interface TokenUse {
  readonly jti: string
  readonly iat: number
  readonly exp: number
}

export class ConsumedStore {
  readonly #hasNonce: StatementSync
  readonly #hasId: StatementSync
  readonly #addNonce: StatementSync
  readonly #addId: StatementSync
  readonly #pruneNonces: StatementSync
  readonly #pruneIds: StatementSync

  constructor(database: DatabaseSync) {
    database.exec(SCHEMA)
    this.#hasNonce = database.prepare('SELECT 1 FROM consumed_nonce WHERE issuer = ? AND nonce = ?')
    this.#hasId = database.prepare('SELECT 1 FROM consumed_id WHERE kind = ? AND jti = ?')
    this.#addNonce = database.prepare('INSERT OR IGNORE INTO consumed_nonce VALUES (?, ?, ?)')
    this.#addId = database.prepare('INSERT OR IGNORE INTO consumed_id VALUES (?, ?, ?)')
    this.#pruneNonces = database.prepare('DELETE FROM consumed_nonce WHERE keep_until_ms < ?')
    this.#pruneIds = database.prepare('DELETE FROM consumed_id WHERE keep_until_ms < ?')
  }

  /** Check 9, which only reads: ZT-409-REPLAY for a copy. Two copies at once both pass here; consume() lets one through. */
  refuseSeen(message: MessageUse): void {
    const seen =
      this.#hasNonce.get(message.issuer, message.nonce) !== undefined ||
      this.#hasId.get('message', message.jti) !== undefined
    if (seen) throw replay()
  }

  /**
   * Check 17. Call it inside the transaction that writes the row; what it throws must undo that transaction.
   * Errors: ZT-409-REPLAY, ZT-409-CONSUMED.
   */
  consume(message: MessageUse, token: TokenUse): void {
    const until = retainUntil(message)
    if (this.#addNonce.run(message.issuer, message.nonce, until).changes !== 1) throw replay()
    if (this.#addId.run('message', message.jti, until).changes !== 1) throw replay()
    if (this.#addId.run('token', token.jti, retainUntil(token)).changes !== 1) {
      throw new ZtError('ZT-409-CONSUMED', 'capability token was used already')
    }
  }

  /**
   * Forgets what no check would let through any more. `nowMs` must never be ahead of the clock's recorded high-water
   * mark: a row that was forgotten under a clock set forward would let its message in again once the clock is set back.
   */
  prune(nowMs: number): void {
    this.#pruneNonces.run(nowMs)
    this.#pruneIds.run(nowMs)
  }
}

function replay(): ZtError {
  return new ZtError('ZT-409-REPLAY', 'this message was seen before')
}
