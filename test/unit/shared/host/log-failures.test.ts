// Every way SQLite can fail under an append: the row is refused, nothing of it stays, and the log goes on once it can.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, it, type TestContext } from 'node:test'
import type { ZtError } from '#shared/errors/error.ts'
import { openDurableLog, type DurableLog, type DurableLogOptions } from '#shared/host/durable-log.ts'
import { HeadFile } from '#shared/host/head-file.ts'
import { verifyLogFile } from '#shared/host/log-reader.ts'
import { recoverLog } from '#shared/host/log-recovery.ts'
import { LogStore } from '#shared/host/log-store.ts'
import { LogWriter } from '#shared/host/log-writer.ts'
import type { RowDraft } from '#shared/log/row.ts'
import { fillLog, logOptions, newSigner, openLog, trustOf } from '#test/support/log-fixture.ts'
import { tempDir } from '#test/support/temp-dir.ts'

const HEARTBEAT: RowDraft = { type: 'heartbeat', out: 'info' }
const BIG: RowDraft = { type: 'heartbeat', obj: { filler: 'x'.repeat(20_000) } }

async function nonceLog(t: TestContext): Promise<{ options: DurableLogOptions; log: DurableLog }> {
  const options = await logOptions(t)
  const log = openLog(t, options)
  log.database.exec('CREATE TABLE nonce (value INTEGER PRIMARY KEY) STRICT')
  await fillLog(log, 300)
  return { options, log }
}

const nonces = (log: DurableLog): unknown =>
  log.database.prepare('SELECT count(*) AS n FROM nonce').get()?.['n']

const noMorePages = (log: DurableLog): void => log.database.exec('PRAGMA max_page_count = 1')
const morePages = (log: DurableLog): void => log.database.exec('PRAGMA max_page_count = 1000000')

async function assertWhole(log: DurableLog, options: DurableLogOptions): Promise<void> {
  const { root } = log.checkpoint()
  assert.deepEqual(Buffer.from(log.rootAt(log.checkpoint().size)), Buffer.from(root))
  await log.close()
  const report = await verifyLogFile(options.file, trustOf(options))
  assert.equal(report.firstBad, undefined)
}

describe('A36: on a full disk', () => {
  it('an append is refused whole, and the log goes on when there is room again', async (t) => {
    const { options, log } = await nonceLog(t)
    const before = log.checkpoint().note
    noMorePages(log)
    const results = await Promise.allSettled(
      Array.from({ length: 5 }, (_, value) =>
        log.append(BIG, (transaction) => void transaction.run('INSERT INTO nonce VALUES (?)', value)),
      ),
    )
    for (const result of results) assert.equal((result as PromiseRejectedResult).reason.code, 'ZT-503-AUDIT')
    assert.deepEqual([log.size, nonces(log), log.checkpoint().note], [301, 0, before])
    await assert.rejects(log.append(BIG), { code: 'ZT-503-AUDIT' })
    morePages(log)
    assert.equal((await log.append(BIG)).seq, 301)
    await assertWhole(log, options)
  })

  it('a group that fills the disk half way leaves no row behind, full tiles included', async (t) => {
    const { options, log } = await nonceLog(t)
    const pages = Number(log.database.prepare('PRAGMA page_count').get()?.['page_count'])
    log.database.exec(`PRAGMA max_page_count = ${pages + 40}`)
    const results = await Promise.allSettled(
      Array.from({ length: 600 }, (_, value) =>
        log.append(HEARTBEAT, (transaction) => void transaction.run('INSERT INTO nonce VALUES (?)', value)),
      ),
    )
    assert.ok(results.every((result) => result.status === 'rejected'))
    assert.deepEqual([log.size, nonces(log)], [301, 0])
    morePages(log)
    await fillLog(log, 600)
    assert.equal(log.size, 901)
    await assertWhole(log, options)
  })

  it('SQL of the owner that meets the full disk fails the append', async (t) => {
    const { options, log } = await nonceLog(t)
    log.database.exec('CREATE TABLE big (value BLOB) STRICT')
    noMorePages(log)
    const fill = log.append(HEARTBEAT, (tx) => void tx.run('INSERT INTO big VALUES (zeroblob(100000))'))
    await assert.rejects(fill, { code: 'ZT-503-AUDIT' })
    morePages(log)
    await log.append(HEARTBEAT)
    await assertWhole(log, options)
  })

  it('a real one refuses too, and lets go on once something is deleted', async (t) => {
    const dir = await tempDir(t)
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', dir], { stdio: 'ignore' })
    } catch (cause) {
      if ((process.env['ZTMESH_REQUIRE'] ?? '').includes('tmpfs')) throw cause
      t.skip('needs the right to mount a tmpfs')
      return
    }
    const mounted: { log?: DurableLog } = {}
    try {
      const options = await logOptions(t, { file: join(dir, 'audit.db') })
      const log = openDurableLog(options)
      mounted.log = log
      const ballast = join(dir, 'ballast')
      writeFileSync(ballast, Buffer.alloc(200_000))
      const refused = await firstRefusal(log)
      assert.equal(refused.code, 'ZT-503-AUDIT')
      const { size } = log
      await assert.rejects(log.append(BIG), { code: 'ZT-503-AUDIT' })
      assert.equal(log.size, size)
      rmSync(ballast)
      assert.equal((await log.append(HEARTBEAT)).seq, size)
      await assertWhole(log, options)
    } finally {
      await mounted.log?.close()
      execFileSync('umount', [dir])
    }
  })
})

async function firstRefusal(log: DurableLog): Promise<ZtError> {
  for (;;) {
    const error = await log.append(BIG).then(
      () => undefined,
      (cause: unknown) => cause as ZtError,
    )
    if (error !== undefined) return error
  }
}

describe('when the signed head cannot be stored', () => {
  it('the append is refused, and nothing is signed until its head can be', async (t) => {
    const options = await logOptions(t)
    const log = openLog(t, options)
    const before = log.checkpoint().note
    log.database.exec(
      "CREATE TRIGGER f BEFORE INSERT ON audit_checkpoint BEGIN SELECT RAISE(ABORT, 'x'); END",
    )
    await assert.rejects(log.append(HEARTBEAT), { code: 'ZT-503-AUDIT' })
    await assert.rejects(log.append(HEARTBEAT), { code: 'ZT-503-AUDIT' })
    assert.equal(log.checkpoint().note, before)
    assert.equal(readFileSync(`${options.file}.head`, 'utf8'), before)
    assert.equal(log.size, 2, 'rows that wait for their head let no others in')
    log.database.exec('DROP TRIGGER f')
    assert.equal((await log.append(HEARTBEAT)).seq, 2)
    await assertWhole(log, options)
  })

  it('a rotation still ends with a head by the old key', async (t) => {
    const options = await logOptions(t)
    const log = openLog(t, options)
    log.database.exec(
      "CREATE TRIGGER f BEFORE INSERT ON audit_checkpoint BEGIN SELECT RAISE(ABORT, 'x'); END",
    )
    await assert.rejects(log.rotateKey(newSigner()), { code: 'ZT-503-AUDIT' })
    log.database.exec('DROP TRIGGER f')
    await log.append(HEARTBEAT)
    await assertWhole(log, options)
  })
})

describe('when somebody else has the database', () => {
  it('and holds its lock, an append is refused', async (t) => {
    const { options, log } = await nonceLog(t)
    const other = new DatabaseSync(options.file)
    other.exec('BEGIN IMMEDIATE')
    await assert.rejects(log.append(HEARTBEAT), { code: 'ZT-503-AUDIT' })
    other.exec('ROLLBACK')
    other.close()
    assert.equal((await log.append(HEARTBEAT)).seq, 301)
  })

  it('and adds a row, the log writes and signs nothing more', async (t) => {
    const { options, log } = await nonceLog(t)
    const before = readFileSync(`${options.file}.head`, 'utf8')
    const other = new DatabaseSync(options.file)
    other.exec("INSERT INTO audit SELECT 301, prev, body, x'00' FROM audit WHERE seq = 300")
    other.close()
    await assert.rejects(log.append(HEARTBEAT), { code: 'ZT-503-AUDIT' })
    await assert.rejects(log.append(HEARTBEAT), { code: 'ZT-490-CHAIN' })
    await log.close()
    assert.equal(readFileSync(`${options.file}.head`, 'utf8'), before)
    assert.throws(() => openDurableLog(options), { code: 'ZT-490-ROW' })
  })
})

describe('a commit that reports an error', () => {
  async function writerWith(t: TestContext, fail: (store: LogStore) => void) {
    const options = await logOptions(t)
    const log = openDurableLog(options)
    await fillLog(log, 300)
    await log.close()
    const store = LogStore.open(options.file)
    const headFile = new HeadFile(`${options.file}.head`)
    const { origin, signer, clock, boot } = options
    const recovery = recoverLog({ store, origin, verifiers: [signer], headNote: headFile.read() })
    const writer = new LogWriter({ store, headFile, origin, clock, boot }, signer, recovery)
    t.after(() => {
      headFile.close()
      store.close()
    })
    fail(store)
    return { options, store, writer }
  }

  it('and happened all the same is taken for what it is', async (t) => {
    const { options, store, writer } = await writerWith(t, (failing) => {
      const commit = failing.commit.bind(failing)
      failing.commit = () => {
        commit()
        failing.commit = commit
        throw new Error('disk I/O error')
      }
    })
    assert.throws(() => writer.writeNow(HEARTBEAT), { code: 'ZT-503-AUDIT' })
    assert.deepEqual([writer.size, store.head().size], [302, 302])
    writer.writeNow(HEARTBEAT)
    assert.equal(writer.checkpoint().size, 303)
    const report = await verifyLogFile(options.file, trustOf(options))
    assert.deepEqual([report.firstBad, report.rows], [undefined, 303])
  })

  it('and cannot be looked into at once is looked into before the next', async (t) => {
    const { options, store, writer } = await writerWith(t, (failing) => {
      const [commit, head] = [failing.commit.bind(failing), failing.head.bind(failing)]
      failing.commit = () => {
        failing.commit = commit
        failing.head = () => {
          failing.head = head
          throw new Error('disk I/O error')
        }
        throw new Error('disk I/O error')
      }
    })
    assert.throws(() => writer.writeNow(HEARTBEAT), { code: 'ZT-503-AUDIT' })
    assert.deepEqual([writer.size, store.head().size], [301, 301])
    writer.writeNow(HEARTBEAT)
    const report = await verifyLogFile(options.file, trustOf(options))
    assert.deepEqual([report.firstBad, report.rows], [undefined, 302])
  })
})
