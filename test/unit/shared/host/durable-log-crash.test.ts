// What is left after a crash: everything that was acknowledged, under heads that never contradict those released before.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { copyFileSync, existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, it, type TestContext } from 'node:test'
import { systemClock } from '#shared/host/clock.ts'
import { openDurableLog, type DurableLogOptions, type RowReceipt } from '#shared/host/durable-log.ts'
import { verifyLogFile } from '#shared/host/log-reader.ts'
import { isZtError } from '#shared/errors/error.ts'
import { createNoteSigner } from '#shared/log/note.ts'
import { parseRow, type RowDraft } from '#shared/log/row.ts'
import { fillLog, logOptions, openLog, ORIGIN, sql, trustOf } from '#test/support/log-fixture.ts'
import { tempDir } from '#test/support/temp-dir.ts'

const HEARTBEAT: RowDraft = { type: 'heartbeat', out: 'info' }
const KILLS = Number(process.env['ZT_CRASH_RUNS'] ?? 6)
const SUFFIXES = ['', '-wal', '.head']

/** The files as a crash at this moment would leave them. */
async function crashCopy(t: TestContext, options: DurableLogOptions): Promise<DurableLogOptions> {
  const file = join(await tempDir(t), 'audit.db')
  for (const suffix of SUFFIXES) {
    if (existsSync(options.file + suffix)) copyFileSync(options.file + suffix, file + suffix)
  }
  return { ...options, file, ifMissing: 'refuse' }
}

const typesOf = (rows: Iterable<{ body: Uint8Array }>): string[] =>
  [...rows].map((row) => parseRow(row.body).type)

const FAIL_HEADS = `CREATE TRIGGER fail BEFORE INSERT ON audit_checkpoint BEGIN SELECT RAISE(ABORT, 'disk'); END`

describe('after a crash', () => {
  it('A34: between two commits, nothing is lost and a row says so', async (t) => {
    const options = await logOptions(t)
    const log = openLog(t, options)
    await fillLog(log, 10)
    const copy = await crashCopy(t, options)
    const again = openLog(t, copy)
    assert.equal(again.size, 12)
    const [row] = [...again.rows(11)]
    const { type, obj } = parseRow(row!.body)
    assert.deepEqual([type, { ...obj }], ['log.recovered', { reasons: ['not-closed'], rows: 11, signed: 11 }])
    again.assertExtends(log.checkpoint())
    await again.close()
    assert.equal((await verifyLogFile(copy.file, trustOf(copy))).firstBad, undefined)
  })

  it('A34: between commit and head, the rows are taken over and signed for', async (t) => {
    const options = await logOptions(t)
    const log = openLog(t, options)
    await fillLog(log, 300)
    log.database.exec(FAIL_HEADS)
    await assert.rejects(log.append(HEARTBEAT), { code: 'ZT-503-AUDIT' })
    const copy = await crashCopy(t, options)
    sql(copy.file, 'DROP TRIGGER fail')
    const again = openLog(t, copy)
    assert.deepEqual(typesOf(again.rows(301)), ['heartbeat', 'log.recovered'])
    assert.equal(again.checkpoint().size, 303)
    await again.close()
    assert.equal((await verifyLogFile(copy.file, trustOf(copy))).firstBad, undefined)
  })

  it('A41: a bit that rotted between commit and head is never signed for', async (t) => {
    const options = await logOptions(t)
    const log = openLog(t, options)
    await fillLog(log, 300)
    log.database.exec(FAIL_HEADS)
    await assert.rejects(log.append(HEARTBEAT), { code: 'ZT-503-AUDIT' })
    const copy = await crashCopy(t, options)
    const head = readFileSync(`${copy.file}.head`, 'utf8')
    sql(
      copy.file,
      'DROP TRIGGER fail',
      'DROP TRIGGER audit_no_update',
      "UPDATE audit SET body = CAST(replace(CAST(body AS TEXT), 'info', 'deny') AS BLOB) WHERE seq = 301",
    )
    assert.throws(() => openDurableLog(copy), { code: 'ZT-490-ROW', details: { seq: 301 } })
    assert.equal(readFileSync(`${copy.file}.head`, 'utf8'), head)
  })

  it('A41: a tile that rotted between commit and head is noticed', async (t) => {
    const options = await logOptions(t)
    const log = openLog(t, options)
    await fillLog(log, 200)
    log.database.exec(FAIL_HEADS)
    await assert.rejects(fillLog(log, 100), { code: 'ZT-503-AUDIT' })
    const copy = await crashCopy(t, options)
    const other = "CASE substr(data, 8192) WHEN x'00' THEN x'01' ELSE x'00' END"
    const rot = `UPDATE audit_tile SET data = CAST(substr(data, 1, 8191) || (${other}) AS BLOB)`
    sql(copy.file, 'DROP TRIGGER fail', 'DROP TRIGGER audit_tile_no_update', rot)
    assert.throws(() => openDurableLog(copy), { code: 'ZT-490-ROW', details: { level: 0, index: 0 } })
  })

  it('A35: a write-ahead log cut anywhere is recovered from, or refused, but never forks what was signed', async (t) => {
    const options = await logOptions(t)
    const log = openLog(t, options)
    for (let turn = 0; turn < 12; turn += 1) await log.append(HEARTBEAT)
    const released = log.checkpoint()
    const wal = readFileSync(`${options.file}-wal`)
    const outcomes = new Set<string>()
    for (let cut = wal.length; cut > 40_000; cut -= 2_999) {
      const copy = await crashCopy(t, options)
      truncateSync(`${copy.file}-wal`, cut)
      outcomes.add(await reopen(copy, released.size))
      // Without the head beside it the loss cannot be seen here; it is the anchor's to see.
      const bare = await crashCopy(t, options)
      truncateSync(`${bare.file}-wal`, cut)
      writeFileSync(`${bare.file}.head`, '')
      assert.equal(await reopen(bare, 0), 'recovered')
    }
    assert.deepEqual(outcomes, new Set(['recovered', 'ZT-490-TRUNCATED']))
  })

  it('A35: a torn head file says nothing, and stops nothing', async (t) => {
    const options = await logOptions(t)
    const log = openLog(t, options)
    await fillLog(log, 10)
    for (const torn of ['', 'mesh', log.checkpoint().note.slice(0, -20), '\0'.repeat(100)]) {
      const copy = await crashCopy(t, options)
      writeFileSync(`${copy.file}.head`, torn)
      assert.equal(await reopen(copy, 11), 'recovered')
    }
  })

  it('A34: by kill -9 at any moment, every acknowledged row is there and no released head is contradicted', async (t) => {
    const dir = await tempDir(t)
    const { privateKey } = generateKeyPairSync('ed25519')
    const key = privateKey.export({ format: 'der', type: 'pkcs8' }).toString('base64')
    const signer = createNoteSigner(ORIGIN, privateKey)
    const file = join(dir, 'audit.db')
    const options = { file, origin: ORIGIN, signer, clock: systemClock, boot: 'boot-1' }
    const receipts: RowReceipt[] = []
    for (let kill = 0; kill < KILLS; kill += 1) receipts.push(...(await killedRun(file, key, 3 + kill * 7)))
    const log = openLog(t, options)
    const hashes = [...log.rows()].map((row) => Buffer.from(row.hash).toString('base64url'))
    for (const receipt of receipts) {
      assert.equal(hashes[receipt.seq], receipt.hash)
      log.assertExtendsNote(receipt.checkpoint, [signer.vkey])
    }
    assert.equal(typesOf(log.rows()).filter((type) => type === 'log.recovered').length, KILLS)
    await log.close()
    assert.equal((await verifyLogFile(file, trustOf(options))).firstBad, undefined)
  })
})

/** Opens, appends and verifies; the code if the log refuses to open. A head below `atLeast` must not open. */
async function reopen(options: DurableLogOptions, atLeast: number): Promise<string> {
  try {
    const log = openDurableLog(options)
    assert.ok(log.size > atLeast, 'what was signed for is there')
    await log.append(HEARTBEAT)
    await log.close()
    assert.equal((await verifyLogFile(options.file, trustOf(options))).firstBad, undefined)
    return 'recovered'
  } catch (cause) {
    if (!isZtError(cause)) throw cause
    return cause.code
  }
}

/** The receipts that a writer got before it was killed, after `lines` of them were seen. */
async function killedRun(file: string, key: string, lines: number): Promise<RowReceipt[]> {
  const script = join(import.meta.dirname, '../../../support/log-crash-child.ts')
  const child = spawn(process.execPath, [script, file, ORIGIN, key], { stdio: ['ignore', 'pipe', 'inherit'] })
  const exited = once(child, 'exit')
  const receipts: RowReceipt[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.endsWith('}')) break
    receipts.push(JSON.parse(line) as RowReceipt)
    if (receipts.length === lines) child.kill('SIGKILL')
  }
  await exited
  return receipts
}
