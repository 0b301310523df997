// What a row must not hold but an auditor may ask for: argv, environment, folder. The row carries a salted commitment;
// salt and text lie beside it in the node's own database. Deleting them erases the content, and every proof over the
// log keeps working (authority-and-audit.md §3.1, `priv`).
import { randomBytes } from 'node:crypto'
import type { DatabaseSync, StatementSync } from 'node:sqlite'

import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { equalBytes, sha256 } from '#shared/encoding/digest.ts'
import { ZtError } from '#shared/errors/error.ts'

const SALT_BYTES = 32

const SCHEMA = `
CREATE TABLE IF NOT EXISTS private_payload (
  commitment TEXT PRIMARY KEY, salt BLOB NOT NULL, content BLOB NOT NULL
) STRICT, WITHOUT ROWID;
`

/** A commitment that is not stored yet. */
export interface PrivatePayload {
  /** base64url SHA-256 of salt and content */
  readonly commitment: string
  readonly salt: Uint8Array
  readonly content: Uint8Array
}

/** Commits to the canonical JSON of `value` under a fresh salt, so that equal contents do not look equal. */
export function commitTo(value: unknown): PrivatePayload {
  const salt = randomBytes(SALT_BYTES)
  const content = canonicalBytes(value)
  return { commitment: encodeBase64url(sha256(Buffer.concat([salt, content]))), salt, content }
}

export class PrivatePayloads {
  readonly #add: StatementSync
  readonly #find: StatementSync
  readonly #erase: StatementSync

  constructor(database: DatabaseSync) {
    database.exec(SCHEMA)
    this.#add = database.prepare('INSERT INTO private_payload VALUES (?, ?, ?)')
    this.#find = database.prepare('SELECT salt, content FROM private_payload WHERE commitment = ?')
    this.#erase = database.prepare('DELETE FROM private_payload WHERE commitment = ?')
  }

  /** Call it inside the transaction of the row that carries the commitment. */
  add(payload: PrivatePayload): void {
    this.#add.run(payload.commitment, payload.salt, payload.content)
  }

  /** The content if it was not erased; ZT-490-ROW if it is not what the row committed to. */
  open(commitment: string): Uint8Array | undefined {
    const row = this.#find.get(commitment)
    if (row === undefined) return undefined
    const { salt, content } = row
    if (!(salt instanceof Uint8Array) || !(content instanceof Uint8Array)) throw altered()
    const actual = sha256(Buffer.concat([salt, content]))
    if (!equalBytes(Buffer.from(encodeBase64url(actual)), Buffer.from(commitment))) throw altered()
    return content
  }

  erase(commitment: string): void {
    this.#erase.run(commitment)
  }
}

function altered(): ZtError {
  return new ZtError('ZT-490-ROW', 'a private payload is not what its row committed to')
}
