// The heads up to which both logs are known to agree: ours at the hub, the hub's with us.
import type { DatabaseSync, StatementSync } from 'node:sqlite'

import { base64urlText, integer, object, string, type Parser } from '#shared/encoding/shape.ts'

export interface AnchorHeads {
  /** size of our log that the hub confirmed last */
  readonly ownSize: number
  readonly hubSize: number
  /** base64url */
  readonly hubRoot: string
  /** the hub's signed note: evidence, if it ever says otherwise */
  readonly hubNote: string
}

const SCHEMA = `
CREATE TABLE IF NOT EXISTS anchor_heads (
  one INTEGER PRIMARY KEY CHECK (one = 1), own_size INTEGER NOT NULL, hub_size INTEGER NOT NULL,
  hub_root TEXT NOT NULL, hub_note TEXT NOT NULL
) STRICT;
`

const line: Parser<AnchorHeads> = object({
  ownSize: integer({ min: 0 }),
  hubSize: integer({ min: 1 }),
  hubRoot: base64urlText({ min: 32, max: 32 }),
  hubNote: string({ max: 16 * 1024 }),
})

export class AnchorState {
  readonly #save: StatementSync
  #heads: AnchorHeads | undefined

  constructor(database: DatabaseSync) {
    database.exec(SCHEMA)
    this.#save = database.prepare('INSERT OR REPLACE INTO anchor_heads VALUES (1, ?, ?, ?, ?)')
    const row = database
      .prepare(
        'SELECT own_size AS ownSize, hub_size AS hubSize, hub_root AS hubRoot, hub_note AS hubNote FROM anchor_heads',
      )
      .get()
    this.#heads = row === undefined ? undefined : line({ ...row }, 'anchor_heads')
  }

  get heads(): AnchorHeads | undefined {
    return this.#heads
  }

  /** Inside the transaction of `anchor.confirmed`. */
  save(heads: AnchorHeads): void {
    this.#save.run(heads.ownSize, heads.hubSize, heads.hubRoot, heads.hubNote)
    this.#heads = heads
  }
}
