import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { describe, it, type TestContext } from 'node:test'
import { ZtError } from '#shared/errors/error.ts'
import type { Transaction } from '#shared/host/durable-log.ts'
import { verifyLogFile } from '#shared/host/log-reader.ts'
import { isUniqueViolation } from '#shared/host/sqlite-errors.ts'
import { openCheckpoint } from '#shared/log/checkpoint.ts'
import { verifyConsistency, verifyInclusion } from '#shared/log/merkle.ts'
import { parseVkey } from '#shared/log/note.ts'
import { entryOf, leafHash, parseRow, type RowDraft } from '#shared/log/row.ts'
import { verifyLog } from '#shared/log/verify-log.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { closedLog, fillLog, logOptions, openLog, ORIGIN, trustOf } from '#test/support/log-fixture.ts'

const HEARTBEAT: RowDraft = { type: 'heartbeat', out: 'info' }

describe('a durable log', () => {
  it('answers with the place of the row, its hash and a signed head over it', async (t) => {
    const options = await logOptions(t)
    const log = openLog(t, options)
    const receipt = await log.append({ type: 'cmd.accepted', out: 'allow', cmd: 'p-1' })
    assert.equal(receipt.log, ORIGIN)
    assert.equal(receipt.seq, 1)
    const [row] = [...log.rows(1)]
    assert.equal(Buffer.from(row!.hash).toString('base64url'), receipt.hash)
    const head = openCheckpoint(receipt.checkpoint, ORIGIN, [parseVkey(options.signer.vkey)])
    assert.equal(head.size, 2)
    assert.deepEqual(Buffer.from(head.root), log.rootAt(2))
    const body = parseRow(row!.body)
    assert.deepEqual([body.cmd, body.boot, body.key, body.seq], ['p-1', 'boot-1', options.signer.keyId, 1])
  })

  it('starts with a genesis row that names its key', async (t) => {
    const options = await logOptions(t, { genesis: { forked_from: 'e0' } })
    const log = openLog(t, options)
    const [genesis] = [...log.rows()]
    const body = parseRow(genesis!.body)
    assert.equal(body.type, 'log.genesis')
    assert.deepEqual({ ...body.obj }, { forked_from: 'e0', vkey: options.signer.vkey })
  })

  it('gives appends of one turn one commit and one head', async (t) => {
    const log = openLog(t, await logOptions(t))
    const receipts = await Promise.all(Array.from({ length: 100 }, () => log.append(HEARTBEAT)))
    assert.equal(new Set(receipts.map((receipt) => receipt.checkpoint)).size, 1)
    assert.deepEqual(
      receipts.map((receipt) => receipt.seq),
      Array.from({ length: 100 }, (_, index) => index + 1),
    )
    assert.equal(log.checkpoint().size, 101)
  })

  it('verifies as a whole, in memory and from its file, while it is open and after', async (t) => {
    const options = await logOptions(t)
    const log = openLog(t, options)
    for (let turn = 0; turn < 5; turn += 1) await fillLog(log, 300)
    const size = log.size
    const input = { ...trustOf(options), rows: log.rows(), checkpoints: log.checkpoints() }
    assert.deepEqual(verifyLog(input).firstBad, undefined)
    assert.equal((await verifyLogFile(options.file, trustOf(options))).size, size)
    await log.close()
    const report = await verifyLogFile(options.file, trustOf(options))
    assert.deepEqual([report.firstBad, report.rows, report.size], [undefined, size, size])
  })

  it('knows its highest time after the clock went back, and over a restart', async (t) => {
    const clock = new ManualClock()
    const highest = clock.now()
    const options = await logOptions(t, { clock })
    const log = openLog(t, options)
    await log.append(HEARTBEAT)
    clock.step(-3_600_000)
    await fillLog(log, 300)
    assert.deepEqual([log.latest(), log.head().ts], [highest, highest - 3_600_000])
    await log.close()
    const next = openLog(t, options)
    await next.append(HEARTBEAT)
    assert.equal(next.latest(), highest)
    clock.step(3_600_001)
    await next.append(HEARTBEAT)
    assert.equal(next.latest(), highest + 1)
  })

  it('goes on after an orderly end without a word', async (t) => {
    const options = await closedLog(t, 700)
    const log = openLog(t, { ...options, ifMissing: 'refuse' })
    assert.equal(log.size, 701)
    assert.equal(log.checkpoint().size, 701)
    assert.equal((await log.append(HEARTBEAT)).seq, 701)
    await log.close()
    assert.equal((await verifyLogFile(options.file, trustOf(options))).firstBad, undefined)
  })

  it('proves every row and every earlier head, across full tiles and partial ones', async (t) => {
    const log = openLog(t, await logOptions(t))
    await fillLog(log, 600)
    const root = log.rootAt(601)
    for (const index of [0, 1, 255, 256, 511, 512, 600]) {
      const [row] = [...log.rows(index, index + 1)]
      const leaf = leafHash(entryOf(row!.prev, row!.body))
      verifyInclusion({ leaf, index, size: 601, root, proof: log.proveInclusion(index) })
    }
    for (const oldSize of [1, 255, 256, 257, 600, 601]) {
      verifyConsistency({
        oldSize,
        oldRoot: log.rootAt(oldSize),
        size: 601,
        root,
        proof: log.proveConsistency(oldSize),
      })
    }
    assert.throws(() => log.proveInclusion(0, 602), { code: 'ZT-422-SCHEMA' })
    assert.throws(() => log.proveConsistency(602), { code: 'ZT-422-SCHEMA' })
  })

  it('serves tiles as far as it has them', async (t) => {
    const log = openLog(t, await logOptions(t))
    await fillLog(log, 599)
    assert.equal(log.tile('tile/0/001')?.length, 8192)
    assert.equal(log.tile('tile/0/002.p/88')?.length, 88 * 32)
    assert.equal(log.tile('tile/1/000.p/2')?.length, 64)
    assert.ok(log.tile('tile/entries/002.p/88') !== undefined)
    for (const path of [
      'tile/0/002',
      'tile/0/002.p/89',
      'tile/0/003',
      'tile/1/000',
      'tile/entries/002.p/89',
    ]) {
      assert.equal(log.tile(path), undefined, path)
    }
    assert.throws(() => log.tile('tile/0/../../etc/passwd'), { code: 'ZT-422-SCHEMA' })
  })

  it('keeps its file from others', async (t) => {
    const { file } = await closedLog(t, 1)
    for (const path of [file, `${file}.head`, `${file}.lock`])
      assert.equal(statSync(path).mode & 0o077, 0, path)
  })

  it('keeps a head for every thousand rows or so, and drops the rest', async (t) => {
    const log = openLog(t, await logOptions(t))
    for (let turn = 0; turn < 12; turn += 1) await fillLog(log, 200)
    const sizes = log.checkpoints().map((note) => Number(note.split('\n')[1]))
    assert.deepEqual(sizes, [1201, 2201, 2401])
  })
})

describe('an append', () => {
  const refused: Record<string, RowDraft> = {
    'ZT-422-SCHEMA': { type: 'heartbeat', txn: 'a b' },
    'ZT-413-SIZE': { type: 'heartbeat', obj: { a: 'x'.repeat(66_000) } },
  }
  for (const [code, draft] of Object.entries(refused)) {
    it(`that is refused with ${code} leaves the others alone`, async (t) => {
      const log = openLog(t, await logOptions(t))
      const results = await Promise.allSettled([
        log.append(HEARTBEAT),
        log.append(draft),
        log.append(HEARTBEAT),
      ])
      assert.deepEqual(
        results.map((result) => result.status),
        ['fulfilled', 'rejected', 'fulfilled'],
      )
      assert.equal((results[1] as PromiseRejectedResult).reason.code, code)
      assert.equal(log.size, 3)
    })
  }

  it('cannot say which row, log, time or key it is', async (t) => {
    const log = openLog(t, await logOptions(t))
    const forged = { type: 'heartbeat', seq: 9, log: 'other', ts: 1, key: 'ffffffff', v: 1 } as RowDraft
    await log.append(forged)
    const [row] = [...log.rows(1)]
    const body = parseRow(row!.body)
    assert.deepEqual([body.seq, body.log], [1, ORIGIN])
    assert.notEqual(body.ts, 1)
    assert.notEqual(body.key, 'ffffffff')
  })

  it('is refused once the log is closed', async (t) => {
    const log = openLog(t, await logOptions(t))
    await log.close()
    await assert.rejects(log.append(HEARTBEAT), { code: 'ZT-503-AUDIT' })
  })

  it('that was made before close is still written', async (t) => {
    const options = await logOptions(t)
    const log = openLog(t, options)
    const pending = log.append(HEARTBEAT)
    await log.close()
    assert.equal((await pending).seq, 1)
  })
})

describe('SQL in the transaction of a row', () => {
  async function nonces(t: TestContext) {
    const options = await logOptions(t)
    const log = openLog(t, options)
    log.database.exec('CREATE TABLE nonce (value TEXT PRIMARY KEY) STRICT')
    const use = (value: string) => (transaction: Transaction) => {
      try {
        transaction.run('INSERT INTO nonce (value) VALUES (?)', value)
      } catch (cause) {
        if (isUniqueViolation(cause)) throw new ZtError('ZT-409-REPLAY', 'nonce was seen before', { cause })
        throw cause
      }
    }
    const count = (): unknown => log.database.prepare('SELECT count(*) AS n FROM nonce').get()?.['n']
    return { options, log, use, count }
  }

  it('happens with the row', async (t) => {
    const { log, use, count } = await nonces(t)
    await log.append(HEARTBEAT, use('a'))
    assert.deepEqual([log.size, count()], [2, 1])
  })

  it('that meets a used nonce fails that append alone, with the error of its owner', async (t) => {
    const { log, use, count } = await nonces(t)
    const results = await Promise.allSettled([
      log.append(HEARTBEAT, use('a')),
      log.append(HEARTBEAT, use('a')),
      log.append(HEARTBEAT, use('b')),
      log.append(HEARTBEAT),
    ])
    assert.deepEqual(
      results.map((result) => result.status),
      ['fulfilled', 'rejected', 'fulfilled', 'fulfilled'],
    )
    assert.equal((results[1] as PromiseRejectedResult).reason.code, 'ZT-409-REPLAY')
    assert.deepEqual([log.size, count()], [4, 2])
    await assert.rejects(log.append(HEARTBEAT, use('b')), { code: 'ZT-409-REPLAY' })
    assert.equal(log.size, 4)
  })

  it('is undone when it fails half way', async (t) => {
    const { log, use, count } = await nonces(t)
    const failing = log.append(HEARTBEAT, (transaction) => {
      use('a')(transaction)
      throw new ZtError('ZT-409-CONSUMED', 'token was used already')
    })
    await assert.rejects(failing, { code: 'ZT-409-CONSUMED' })
    assert.deepEqual([log.size, count()], [1, 0])
  })

  it('is undone when it fails half way beside others that go well', async (t) => {
    const { log, use, count } = await nonces(t)
    const results = await Promise.allSettled([
      log.append(HEARTBEAT, use('a')),
      log.append(HEARTBEAT, (transaction) => {
        use('b')(transaction)
        throw new ZtError('ZT-409-CONSUMED', 'token was used already')
      }),
      log.append(HEARTBEAT, use('c')),
    ])
    assert.deepEqual(
      results.map((result) => result.status),
      ['fulfilled', 'rejected', 'fulfilled'],
    )
    assert.deepEqual([log.size, count()], [3, 2])
    await log.append(HEARTBEAT, use('b'))
  })

  it('that breaks a rule its owner did not foresee counts as not written', async (t) => {
    const { log, count } = await nonces(t)
    const failing = log.append(
      HEARTBEAT,
      (transaction) => void transaction.run('INSERT INTO nonce VALUES (NULL)'),
    )
    await assert.rejects(failing, { code: 'ZT-503-AUDIT' })
    assert.deepEqual([log.size, count()], [1, 0])
  })

  const misused: Record<string, (transaction: Transaction) => void> = {
    commits: (transaction) => void transaction.run('COMMIT'),
    'rolls back': (transaction) => void transaction.run('ROLLBACK'),
    'releases the savepoint': (transaction) => void transaction.run('RELEASE item'),
    'changes a row': (transaction) => void transaction.run("UPDATE audit SET body = x'00'"),
    'deletes a row': (transaction) => void transaction.run('DELETE FROM audit'),
    'replaces a row': (transaction) =>
      void transaction.run("REPLACE INTO audit VALUES (0, x'00', x'00', x'00')"),
  }
  for (const [what, also] of Object.entries(misused)) {
    it(`that ${what} is refused, and the log still stands`, async (t) => {
      const { options, log } = await nonces(t)
      await assert.rejects(log.append(HEARTBEAT, also), { code: 'ZT-503-AUDIT' })
      assert.equal(log.size, 1)
      await log.append(HEARTBEAT)
      await log.close()
      assert.equal((await verifyLogFile(options.file, trustOf(options))).firstBad, undefined)
    })
  }

  it('that is asynchronous is refused', async (t) => {
    const { log } = await nonces(t)
    const also = (async () => undefined) as unknown as (transaction: Transaction) => void
    await assert.rejects(log.append(HEARTBEAT, also), { code: 'ZT-500-INTERNAL' })
    assert.equal(log.size, 1)
  })

  it('may append a row of its own, which joins a later commit', async (t) => {
    const { log } = await nonces(t)
    const inner: Promise<unknown>[] = []
    await log.append(HEARTBEAT, () => void inner.push(log.append(HEARTBEAT)))
    await Promise.all(inner)
    assert.equal(log.size, 3)
  })

  it('is refused while the owner holds a transaction of its own', async (t) => {
    const { log } = await nonces(t)
    log.database.exec('BEGIN')
    await assert.rejects(log.append(HEARTBEAT), { code: 'ZT-503-AUDIT' })
    log.database.exec('COMMIT')
    assert.equal((await log.append(HEARTBEAT)).seq, 1)
  })
})
