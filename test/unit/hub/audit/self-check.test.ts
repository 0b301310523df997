// The hub finds what was done to its log while it was not looking.
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { SelfCheck } from '#hub/audit/self-check.ts'
import { ZtError } from '#shared/errors/error.ts'
import { openDurableLog, type DurableLog } from '#shared/host/durable-log.ts'
import { createNoteSigner, type NoteSigner } from '#shared/log/note.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'

const ORIGIN = 'mesh.example/log/hub/h1/e1'

describe('the self-check of the log', () => {
  let dir: string
  let log: DurableLog
  let signer: NoteSigner
  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'zt-check-'))
    signer = createNoteSigner(ORIGIN, generateKeyPairSync('ed25519').privateKey)
    const file = join(dir, 'log.db')
    log = openDurableLog({
      file,
      origin: ORIGIN,
      signer,
      clock: new ManualClock(),
      boot: 'boot-1',
      ifMissing: 'create',
    })
    await Promise.all(
      Array.from({ length: 1500 }, (_, i) => log.append({ type: 'heartbeat', out: 'info', obj: { i } })),
    )
  })
  afterEach(async () => {
    await log.close()
    rmSync(dir, { recursive: true })
  })
  const check = (): SelfCheck => new SelfCheck({ log, vkeys: [signer.vkey] })
  const tamper = (sql: string): void => {
    const triggers = log.database.prepare("SELECT name FROM sqlite_master WHERE type = 'trigger'").all()
    for (const { name } of triggers) log.database.exec(`DROP TRIGGER "${String(name)}"`)
    log.database.exec(sql)
  }

  it('passes an untouched log and writes a row about it', async () => {
    const { rows, firstBad } = await check().run()
    assert.deepEqual([rows, firstBad], [1501, undefined])
    assert.equal(log.size, 1502)
  })

  it('passes rows that are appended while it runs', async () => {
    const running = check().run()
    await log.append({ type: 'heartbeat', out: 'info' })
    assert.equal((await running).firstBad, undefined)
  })

  const harm: Record<string, string> = {
    'a row that was changed':
      'UPDATE audit SET body = CAST(replace(CAST(body AS TEXT), \'"i":7}\', \'"i":8}\') AS BLOB)',
    'a row that was deleted': 'DELETE FROM audit WHERE seq = 700',
    'two rows that were exchanged':
      'UPDATE audit SET seq = -1 WHERE seq = 5; UPDATE audit SET seq = 5 WHERE seq = 6; UPDATE audit SET seq = 6 WHERE seq = -1',
  }
  for (const [what, sql] of Object.entries(harm))
    it(`finds ${what}, and says which`, async () => {
      tamper(sql)
      await assert.rejects(check().run(), (error: { code: string; details: Record<string, unknown> }) => {
        assert.match(error.code, /^ZT-490-/)
        assert.equal(typeof error.details['seq'], 'number')
        return true
      })
    })

  it('does not believe a head signed with another key', async () => {
    const other = createNoteSigner(ORIGIN, generateKeyPairSync('ed25519').privateKey)
    await assert.rejects(new SelfCheck({ log, vkeys: [other.vkey] }).run(), { code: 'ZT-490-SIGNATURE' })
  })

  describe('of a hub that runs', () => {
    const full = (): SelfCheck => {
      const append: DurableLog['append'] = () =>
        Promise.reject(new ZtError('ZT-503-AUDIT', 'the disk is full'))
      const bound: ConstructorParameters<typeof SelfCheck>[0]['log'] = {
        origin: ORIGIN,
        append,
        checkpoint: () => log.checkpoint(),
        checkpoints: () => log.checkpoints(),
        records: (from, to) => log.records(from, to),
      }
      return new SelfCheck({ log: bound, vkeys: [signer.vkey] })
    }

    it('does not end it for a row that cannot be written', async () => {
      const ended: unknown[] = []
      await assert.rejects(
        full().runOrEnd((error) => void ended.push(error)),
        { code: 'ZT-503-AUDIT' },
      )
      assert.deepEqual(ended, [])
    })

    it('ends it for a log that does not hold, also while no row can be written', async () => {
      tamper('DELETE FROM audit WHERE seq = 700')
      const ended: ZtError[] = []
      await full().runOrEnd((error) => void ended.push(error))
      assert.match(ended[0]?.code ?? '', /^ZT-490-/)
    })
  })
})
