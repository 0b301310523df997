// The heads up to which both logs are known to agree: ours at the hub, the hub's with us. And, once they were found to
// contradict each other, what was found: a restart must not make the node trust again.
import type { DatabaseSync, StatementSync } from 'node:sqlite'

import { base64urlText, integer, object, oneOf, string, type Parser } from '#shared/encoding/shape.ts'
import { ZtError } from '#shared/errors/error.ts'

export interface AnchorHeads {
  /** size of our log that the hub confirmed last */
  readonly ownSize: number
  readonly hubSize: number
  /** base64url */
  readonly hubRoot: string
  /** the hub's signed note: evidence, if it ever says otherwise */
  readonly hubNote: string
}

/** What makes an answer, or a refusal, evidence against somebody, and not a mishap. */
const CONTRADICTIONS = [
  'ZT-490-FORK',
  'ZT-490-PROOF',
  'ZT-490-ANCHOR',
  'ZT-490-TRUNCATED',
  'ZT-490-SIGNATURE',
] as const

interface Contradiction {
  readonly code: (typeof CONTRADICTIONS)[number]
  readonly message: string
}

/** True if the two logs cannot both be what they are said to be. */
export function isContradiction(error: unknown): error is ZtError {
  return error instanceof ZtError && CONTRADICTIONS.some((code) => code === error.code)
}

const SCHEMA = `
CREATE TABLE IF NOT EXISTS anchor_heads (
  one INTEGER PRIMARY KEY CHECK (one = 1), own_size INTEGER NOT NULL, hub_size INTEGER NOT NULL,
  hub_root TEXT NOT NULL, hub_note TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS anchor_contradiction (
  one INTEGER PRIMARY KEY CHECK (one = 1), code TEXT NOT NULL, message TEXT NOT NULL
) STRICT;
`

const line: Parser<AnchorHeads> = object({
  ownSize: integer({ min: 0 }),
  hubSize: integer({ min: 1 }),
  hubRoot: base64urlText({ min: 32, max: 32 }),
  hubNote: string({ max: 16 * 1024 }),
})

const contradictionLine: Parser<Contradiction> = object({
  code: oneOf(CONTRADICTIONS),
  message: string({ max: 16 * 1024 }),
})

export class AnchorState {
  readonly #save: StatementSync
  readonly #distrust: StatementSync
  #heads: AnchorHeads | undefined
  #contradiction: ZtError | undefined

  constructor(database: DatabaseSync) {
    database.exec(SCHEMA)
    this.#save = database.prepare('INSERT OR REPLACE INTO anchor_heads VALUES (1, ?, ?, ?, ?)')
    const row = database
      .prepare(
        'SELECT own_size AS ownSize, hub_size AS hubSize, hub_root AS hubRoot, hub_note AS hubNote FROM anchor_heads',
      )
      .get()
    this.#heads = row === undefined ? undefined : line({ ...row }, 'anchor_heads')
    // The first one stays: what comes after it is found with logs that are distrusted already.
    this.#distrust = database.prepare('INSERT OR IGNORE INTO anchor_contradiction VALUES (1, ?, ?)')
    const found = database.prepare('SELECT code, message FROM anchor_contradiction').get()
    if (found === undefined) return
    const { code, message } = contradictionLine({ ...found }, 'anchor_contradiction')
    this.#contradiction = new ZtError(code, message)
  }

  get heads(): AnchorHeads | undefined {
    return this.#heads
  }

  /** Inside the transaction of `anchor.confirmed`. */
  save(heads: AnchorHeads): void {
    this.#save.run(heads.ownSize, heads.hubSize, heads.hubRoot, heads.hubNote)
    this.#heads = heads
  }

  /** What the two logs were found to contradict each other in, in this start or an earlier one. */
  get contradiction(): ZtError | undefined {
    return this.#contradiction
  }

  /** Holds from now on, even if it cannot be written down. */
  distrust(found: ZtError): void {
    this.#contradiction ??= found
  }

  /** Inside the transaction of `anchor.rejected`. */
  saveContradiction({ code, message }: ZtError): void {
    this.#distrust.run(code, message)
  }
}
