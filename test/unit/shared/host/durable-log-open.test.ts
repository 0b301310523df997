import assert from 'node:assert/strict'
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { relative } from 'node:path'
import { describe, it } from 'node:test'
import { openDurableLog } from '#shared/host/durable-log.ts'
import { openLogReader, verifyLogFile } from '#shared/host/log-reader.ts'
import { openCheckpoint } from '#shared/log/checkpoint.ts'
import { parseVkey } from '#shared/log/note.ts'
import { parseRow, type RowDraft } from '#shared/log/row.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import {
  closedLog,
  DISARM,
  fillLog,
  logOptions,
  newSigner,
  openLog,
  ORIGIN,
  signedHead,
  sql,
  trustOf,
} from '#test/support/log-fixture.ts'

const HEARTBEAT: RowDraft = { type: 'heartbeat', out: 'info' }

describe('opening', () => {
  it('a missing log is refused unless a new one is asked for', async (t) => {
    const options = await logOptions(t)
    assert.throws(() => openDurableLog({ ...options, ifMissing: 'refuse' }), { code: 'ZT-503-AUDIT' })
  })

  it('a log twice is refused', async (t) => {
    const options = await logOptions(t)
    const log = openLog(t, options)
    assert.throws(() => openDurableLog(options), { code: 'ZT-503-AUDIT' })
    await log.append(HEARTBEAT)
    await log.close()
    openLog(t, options)
  })

  it('with another key than the one in force is refused', async (t) => {
    const options = await closedLog(t, 3)
    assert.throws(() => openDurableLog({ ...options, signer: newSigner() }), { code: 'ZT-490-SIGNATURE' })
    assert.throws(() => openDurableLog({ ...options, signer: newSigner('other.example') }), {
      code: 'ZT-490-SIGNATURE',
    })
  })

  it('a file that is no log is refused and left as it is', async (t) => {
    const options = await logOptions(t)
    writeFileSync(options.file, 'not a database, but longer than a header '.repeat(20))
    assert.throws(() => openDurableLog(options), { code: 'ZT-503-AUDIT' })
    rmSync(options.file)
    sql(options.file, 'CREATE TABLE audit (seq INTEGER PRIMARY KEY, prev, body, hash)')
    assert.throws(() => openDurableLog(options), { code: 'ZT-490-UNVERIFIABLE' })
  })

  const tampered: Record<string, { sql: string[]; code: string }> = {
    'a bit of the last row changed': {
      sql: [
        "UPDATE audit SET body = CAST(replace(CAST(body AS TEXT), 'allow', 'allov') AS BLOB) WHERE seq = 300",
      ],
      code: 'ZT-490-ROW',
    },
    'a row of the tail deleted': { sql: ['DELETE FROM audit WHERE seq = 290'], code: 'ZT-490-CHAIN' },
    'A11: its last row deleted': { sql: ['DELETE FROM audit WHERE seq = 300'], code: 'ZT-490-TRUNCATED' },
    'A11: its last row and its head deleted': {
      sql: ['DELETE FROM audit WHERE seq = 300', 'DELETE FROM audit_checkpoint'],
      code: 'ZT-490-TRUNCATED',
    },
    'a byte moved from one column into the next': {
      sql: ["UPDATE audit SET prev = CAST(prev || x'7b' AS BLOB), body = substr(body, 2) WHERE seq = 299"],
      code: 'ZT-490-ROW',
    },
    'another head in place of its own': {
      sql: [`UPDATE audit_checkpoint SET note = '${signedHead([], newSigner())}'`],
      code: 'ZT-490-SIGNATURE',
    },
    'an index that could answer for the table': {
      sql: ['CREATE INDEX other ON audit (seq, prev, body)'],
      code: 'ZT-490-UNVERIFIABLE',
    },
  }
  for (const [what, attack] of Object.entries(tampered)) {
    it(`a log with ${what} is refused`, async (t) => {
      const options = await closedLog(t, 300)
      sql(options.file, ...DISARM, ...attack.sql)
      assert.throws(() => openDurableLog(options), { code: attack.code })
      assert.throws(() => openDurableLog(options), { code: attack.code })
    })
  }

  it('knows the last row and its time also where a tile ends', async (t) => {
    const options = await closedLog(t, 255)
    const log = openLog(t, { ...options, ifMissing: 'refuse' })
    assert.deepEqual([log.size, log.head().ts], [256, options.clock.now()])
    assert.equal(log.head().hash, Buffer.from([...log.rows(255)][0]!.hash).toString('base64url'))
  })

  it('a log with a changed tile is refused', async (t) => {
    const options = await closedLog(t, 600)
    sql(
      options.file,
      'DROP TRIGGER audit_tile_no_update',
      'UPDATE audit_tile SET data = zeroblob(8192) WHERE idx = 0',
    )
    assert.throws(() => openDurableLog(options), { code: 'ZT-490-FORK' })
  })

  it('A15: a copy from yesterday is refused beside the head that was signed since', async (t) => {
    const options = await closedLog(t, 10)
    copyFileSync(options.file, `${options.file}.yesterday`)
    const log = openLog(t, options)
    await fillLog(log, 10)
    await log.close()
    copyFileSync(`${options.file}.yesterday`, options.file)
    assert.throws(() => openDurableLog(options), { code: 'ZT-490-TRUNCATED' })
  })

  it('A15: a copy of the whole folder is refused by the anchor of somebody else', async (t) => {
    const options = await closedLog(t, 10)
    const copies = [options.file, `${options.file}.head`]
    for (const path of copies) copyFileSync(path, `${path}.old`)
    const log = openLog(t, options)
    await fillLog(log, 10)
    const anchor = log.checkpoint()
    await log.close()
    for (const path of copies) copyFileSync(`${path}.old`, path)
    const before = readFileSync(`${options.file}.head`, 'utf8')
    assert.throws(() => openDurableLog({ ...options, anchors: [anchor] }), { code: 'ZT-490-TRUNCATED' })
    assert.equal(readFileSync(`${options.file}.head`, 'utf8'), before, 'nothing was signed')
  })

  it('a log that says other than its anchor is refused', async (t) => {
    const options = await closedLog(t, 10)
    const anchor = { size: 5, root: Buffer.alloc(32) }
    assert.throws(() => openDurableLog({ ...options, anchors: [anchor] }), { code: 'ZT-490-FORK' })
  })

  it('a log whose tripwires were removed puts them back and says so', async (t) => {
    const options = await closedLog(t, 10)
    sql(options.file, ...DISARM)
    const log = openLog(t, options)
    const body = parseRow([...log.rows(11)][0]!.body)
    assert.deepEqual([body.type, body.obj?.['reasons']], ['log.recovered', ['tripwires-missing']])
    assert.throws(() => log.database.exec('DELETE FROM audit'), /never changed/)
  })
})

describe('a rotation of the key', () => {
  it('has the old key sign for its row and the new key for the next', async (t) => {
    const options = await logOptions(t)
    const log = openLog(t, options)
    const next = newSigner()
    const [, rotated, after] = await Promise.all([
      log.append(HEARTBEAT),
      log.rotateKey(next),
      log.append(HEARTBEAT),
    ])
    assert.equal(openCheckpoint(rotated.checkpoint, ORIGIN, [parseVkey(options.signer.vkey)]).size, 3)
    assert.equal(openCheckpoint(after.checkpoint, ORIGIN, [parseVkey(next.vkey)]).size, 4)
    await log.close()
    assert.equal((await verifyLogFile(options.file, trustOf(options))).firstBad, undefined)
    assert.throws(() => openDurableLog(options), { code: 'ZT-490-SIGNATURE' })
    const swapped = { ...options, retired: [next.vkey] }
    assert.throws(() => openDurableLog(swapped), { code: 'ZT-490-SIGNATURE' })
    const again = openLog(t, { ...options, signer: next, retired: [options.signer.vkey] })
    await again.append(HEARTBEAT)
  })

  it('is refused for a key of another log', async (t) => {
    const log = openLog(t, await logOptions(t))
    await assert.rejects(log.rotateKey(newSigner('other.example')), { code: 'ZT-490-SIGNATURE' })
    assert.equal(log.size, 1)
  })
})

describe('the clock', () => {
  it('A32: stepped an hour back or forward puts a row in front that says so', async (t) => {
    let skew = 0
    const inner = new ManualClock()
    const clock = {
      now: () => inner.now() + skew,
      monotonicNs: () => inner.monotonicNs(),
      after: inner.after.bind(inner),
    }
    const options = await logOptions(t, { clock })
    const log = openLog(t, options)
    skew = -3_600_000
    await log.append(HEARTBEAT)
    skew = 0
    await log.append(HEARTBEAT)
    const types = [...log.rows()].map((row) => parseRow(row.body).type)
    assert.deepEqual(types, ['log.genesis', 'clock.stepped', 'heartbeat', 'clock.stepped', 'heartbeat'])
    await log.close()
    assert.equal((await verifyLogFile(options.file, trustOf(options))).firstBad, undefined)
  })

  it('A33: that runs backwards within a boot stops the log', async (t) => {
    const inner = new ManualClock()
    let mono = 1_000n
    const clock = { now: () => inner.now(), monotonicNs: () => mono, after: inner.after.bind(inner) }
    const log = openLog(t, await logOptions(t, { clock }))
    mono = 999n
    await assert.rejects(log.append(HEARTBEAT), { code: 'ZT-408-CLOCK' })
    mono = 1_001n
    assert.equal((await log.append(HEARTBEAT)).seq, 1)
  })
})

describe('a reader', () => {
  it('sees the rows of a copied file and changes nothing', async (t) => {
    const options = await closedLog(t, 20)
    const copy = `${options.file}.copy`
    copyFileSync(options.file, copy)
    const before = readFileSync(copy)
    const reader = openLogReader(copy)
    assert.equal(reader.size, 21)
    assert.equal([...reader.rows(5, 7)].map((row) => row.seq).join(), '5,6')
    reader.close()
    assert.deepEqual(readFileSync(copy), before)
  })

  it('takes any path, relative or with characters that mean something in a URL', async (t) => {
    const options = await closedLog(t, 5)
    const odd = `${options.file}?a=b#c %41`
    copyFileSync(options.file, odd)
    for (const path of [odd, relative(process.cwd(), odd)]) {
      const report = await verifyLogFile(path, trustOf(options))
      assert.deepEqual([report.firstBad, report.rows], [undefined, 6])
    }
  })

  it('sees what is only in the write-ahead log of a copy', async (t) => {
    const options = await logOptions(t)
    const log = openLog(t, options)
    await fillLog(log, 20)
    copyFileSync(options.file, `${options.file}.copy`)
    copyFileSync(`${options.file}-wal`, `${options.file}.copy-wal`)
    const report = await verifyLogFile(`${options.file}.copy`, trustOf(options))
    assert.deepEqual([report.firstBad, report.rows], [undefined, 21])
  })

  it('reports what is no log, and what is damaged, as not verifiable', async (t) => {
    const options = await closedLog(t, 2_000)
    const missing = await verifyLogFile(`${options.file}.none`, trustOf(options))
    assert.equal(missing.firstBad?.code, 'ZT-490-UNVERIFIABLE')
    const bytes = readFileSync(options.file)
    bytes.fill(0xff, 4096 * 40, 4096 * 60)
    writeFileSync(options.file, bytes)
    const damaged = await verifyLogFile(options.file, trustOf(options))
    assert.equal(damaged.firstBad?.code, 'ZT-490-UNVERIFIABLE')
    assert.ok(damaged.rows < 2_001)
  })

  it('names the row that somebody edited in the file', async (t) => {
    const options = await closedLog(t, 50)
    sql(
      options.file,
      ...DISARM,
      "UPDATE audit SET body = CAST(replace(CAST(body AS TEXT), 'allow', 'deny') AS BLOB) WHERE seq = 33",
    )
    const report = await verifyLogFile(options.file, trustOf(options))
    assert.deepEqual([report.firstBad?.code, report.firstBad?.seq], ['ZT-490-ROW', 33])
  })
})
