// Appending audit rows durably, in groups, beside SQLite alone inserting the same bytes with the same durability; and
// verifying a chain beside hashing the same bytes alone.
import { createHash, generateKeyPairSync, randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { systemClock } from '#shared/host/clock.ts'
import { openDurableLog, type DurableLog } from '#shared/host/durable-log.ts'
import { ChainVerifier } from '#shared/log/chain.ts'
import { createNoteSigner } from '#shared/log/note.ts'
import { ENTRY_AT, type RowRecord } from '#shared/log/record.ts'
import type { RowDraft } from '#shared/log/row.ts'
import { timePair, type BenchRow, type Pair, type Sample } from '../measure.ts'

const GROUP = 1000
const RUNS = 21
const ORIGIN = 'mesh.example/log/node/bench/e1'

function draft(): RowDraft {
  const caller = 'spiffe://mesh.example/operator/alice'
  return {
    type: 'cmd.accepted',
    out: 'allow',
    txn: randomUUID(),
    cmd: randomUUID(),
    actor: { caller, sub: caller, executor: 'spiffe://mesh.example/node/bench' },
    req: { jti: randomUUID(), nonce: randomUUID() },
    obj: { op: 'process.spawn', proc: 'p-abcdefghijklmnopqrst' },
  }
}

function openBareTable(file: string): (rows: readonly Uint8Array[]) => void {
  const database = new DatabaseSync(file)
  database.exec(
    'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE r (seq INTEGER PRIMARY KEY, body BLOB) STRICT',
  )
  const insert = database.prepare('INSERT INTO r (body) VALUES (?)')
  return (rows) => {
    database.exec('BEGIN IMMEDIATE')
    for (const row of rows) insert.run(row)
    database.exec('COMMIT')
  }
}

function rate({ median, p5, p95, n }: Sample, count: number): Sample {
  const perSecond = (ms: number): number => (count * 1000) / ms
  return { n, median: perSecond(median), p5: perSecond(p95), p95: perSecond(p5) }
}

interface RateRow {
  readonly name: string
  readonly what: string
  readonly least: number
  readonly count: number
}

function rateRow({ name, what, least, count }: RateRow, pair: Pair): BenchRow {
  const ours = rate(pair.ours, count)
  return {
    name,
    unit: '/s',
    ours,
    beside: { ...rate(pair.beside, count), what },
    ratio: 1 / pair.ratio,
    goal: `>= ${least} /s`,
    met: ours.median >= least,
  }
}

async function timeAppend(log: DurableLog, dir: string): Promise<Pair> {
  const insert = openBareTable(join(dir, 'bare.db'))
  const body = new Uint8Array(Buffer.alloc(520, 'x'))
  const bodies = Array.from({ length: GROUP }, () => body)
  const drafts = Array.from({ length: GROUP }, draft)
  return timePair(
    () => Promise.all(drafts.map((row) => log.append(row))),
    () => insert(bodies),
    { runs: RUNS, warmUp: 3 },
  )
}

async function timeVerify(records: readonly RowRecord[]): Promise<Pair> {
  return timePair(
    () => {
      const chain = new ChainVerifier({ origin: ORIGIN })
      for (const record of records) chain.push(record)
    },
    () => {
      for (const record of records) createHash('sha256').update(record.bytes.subarray(ENTRY_AT)).digest()
    },
    { runs: RUNS, warmUp: 3 },
  )
}

export async function audit(): Promise<BenchRow[]> {
  const dir = mkdtempSync(join(tmpdir(), 'zt-bench-audit-'))
  const signer = createNoteSigner(ORIGIN, generateKeyPairSync('ed25519').privateKey)
  const log = openDurableLog({
    file: join(dir, 'log.db'),
    origin: ORIGIN,
    signer,
    clock: systemClock,
    boot: randomUUID(),
    ifMissing: 'create',
  })
  try {
    const append = await timeAppend(log, dir)
    const records = [...log.records()]
    const verify = await timeVerify(records)
    return [
      rateRow(
        {
          name: 'audit append, durable, batched',
          what: 'SQLite alone, same durability',
          least: 20_000,
          count: GROUP,
        },
        append,
      ),
      rateRow(
        {
          name: 'audit chain verify',
          what: 'SHA-256 of the rows alone',
          least: 200_000,
          count: records.length,
        },
        verify,
      ),
    ]
  } finally {
    await log.close()
    rmSync(dir, { recursive: true, force: true })
  }
}
