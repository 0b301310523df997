// Logs for tests: made in memory row by row, so that a test can be the attacker who holds the file, the key or both.
import { generateKeyPairSync } from 'node:crypto'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { TestContext } from 'node:test'
import { openDurableLog, type DurableLog, type DurableLogOptions } from '#shared/host/durable-log.ts'
import { signCheckpoint } from '#shared/log/checkpoint.ts'
import { toBinary, type Hash } from '#shared/log/hash.ts'
import { createNoteSigner, type NoteSigner } from '#shared/log/note.ts'
import type { StoredRow } from '#shared/log/record.ts'
import {
  encodeRow,
  entryOf,
  GENESIS_PREV,
  leafHash,
  rowHash,
  type RowBody,
  type RowDraft,
} from '#shared/log/row.ts'
import { TreeEdge } from '#shared/log/tree-edge.ts'
import type { LogTrust } from '#shared/log/verify-log.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { tempDir } from './temp-dir.ts'

export const ORIGIN = 'mesh.example/log/node/n1/e1'

export function newSigner(origin: string = ORIGIN): NoteSigner {
  return createNoteSigner(origin, generateKeyPairSync('ed25519').privateKey)
}

export interface MadeRow {
  readonly body: RowBody
  readonly row: StoredRow
}

/** A log that whoever holds `signer` can make. */
export class MadeLog {
  readonly signer: NoteSigner
  readonly bodies: RowBody[] = []

  constructor(signer: NoteSigner) {
    this.signer = signer
    this.add({ type: 'log.genesis', obj: { vkey: signer.vkey } })
  }

  add(draft: RowDraft & Partial<RowBody>): this {
    const seq = this.bodies.length
    const ms = 1_800_000_000_000 + seq * 10
    const times = { ts: ms, mono: String(BigInt(ms) * 1_000_000n), boot: 'boot-1' }
    this.bodies.push({ ...times, key: this.signer.keyId, ...draft, v: 1, log: this.signer.name, seq })
    return this
  }

  fill(count: number): this {
    for (let index = 0; index < count; index += 1) {
      this.add({
        type: 'cmd.accepted',
        out: 'allow',
        cmd: `p-${index}`,
        obj: { exe: '/usr/bin/true', index },
      })
    }
    return this
  }

  rows(): StoredRow[] {
    return chainRows(this.bodies.map((body) => encodeRow(body)))
  }

  note(size: number = this.bodies.length, signer: NoteSigner = this.signer): string {
    return signedHead(this.rows().slice(0, size), signer)
  }
}

/** Rows over these bodies with every hash right. */
export function chainRows(bodies: readonly Uint8Array[]): StoredRow[] {
  const rows: StoredRow[] = []
  let prev: Hash = GENESIS_PREV
  for (const [seq, body] of bodies.entries()) {
    const hash = rowHash(prev, body)
    rows.push({ seq, prev, body, hash })
    prev = hash
  }
  return rows
}

export function rootOf(rows: readonly StoredRow[]): Hash {
  const edge = new TreeEdge()
  for (const row of rows) edge.push(toBinary(leafHash(entryOf(row.prev, row.body))))
  return edge.root()
}

export function signedHead(rows: readonly StoredRow[], signer: NoteSigner): string {
  return signCheckpoint({ size: rows.length, root: rootOf(rows) }, signer).note
}

/** Options of a new log in a directory of its own. */
export async function logOptions(
  t: TestContext,
  given: Partial<DurableLogOptions> = {},
): Promise<DurableLogOptions> {
  return {
    file: join(await tempDir(t), 'audit.db'),
    origin: ORIGIN,
    signer: newSigner(),
    clock: new ManualClock(),
    boot: 'boot-1',
    ifMissing: 'create',
    ...given,
  }
}

/** A log that is closed when the test ends, unless the test closed it. */
export function openLog(t: TestContext, options: DurableLogOptions): DurableLog {
  const log = openDurableLog(options)
  t.after(() => log.close())
  return log
}

export async function fillLog(log: DurableLog, count: number): Promise<void> {
  const rows = Array.from({ length: count }, (_, index) =>
    log.append({ type: 'cmd.accepted', out: 'allow', obj: { index } }),
  )
  await Promise.all(rows)
}

/** A log of `count` rows besides its genesis, closed. */
export async function closedLog(
  t: TestContext,
  count: number,
  given: Partial<DurableLogOptions> = {},
): Promise<DurableLogOptions> {
  const options = await logOptions(t, given)
  const log = openLog(t, options)
  await fillLog(log, count)
  await log.close()
  return options
}

/** What a verifier of the log believes. */
export function trustOf(options: DurableLogOptions): LogTrust {
  return { origin: options.origin, vkeys: [options.signer.vkey] }
}

/** Runs statements on the file, as somebody would who has it. */
export function sql(file: string, ...statements: string[]): void {
  const database = new DatabaseSync(file)
  for (const statement of statements) database.exec(statement)
  database.close()
}

/** Removes the tripwires of the rows. */
export const DISARM: readonly string[] = ['audit_no_update', 'audit_no_delete'].map(
  (name) => `DROP TRIGGER ${name}`,
)
