// A node that signs two histories is caught, whatever the order and the size of its messages and however full the disk.
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, before, beforeEach, describe, it } from 'node:test'
import { Anchors, type Anchored } from '#hub/audit/anchors.ts'
import { Refusals } from '#hub/audit/refusals.ts'
import { createSqliteStore, openSqliteStore } from '#hub/store/sqlite.ts'
import type { HubStore } from '#hub/store/store.ts'
import { sha256, sha256Text } from '#shared/encoding/digest.ts'
import { ZtError } from '#shared/errors/error.ts'
import { openDurableLog, type DurableLog } from '#shared/host/durable-log.ts'
import { silentLogger } from '#shared/host/logger.ts'
import { signCheckpoint } from '#shared/log/checkpoint.ts'
import { createNoteSigner } from '#shared/log/note.ts'
import { parseRow, type RowBody } from '#shared/log/row.ts'
import type { VerifiedSvid } from '#shared/x509/svid.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { createTestAuthority, TEST_NOW } from '#test/support/test-authority.ts'

const ORIGIN = 'mesh.example/log/node/n1/e1'
const HUB_ORIGIN = 'mesh.example/log/hub/h1/e1'
const key = createNoteSigner(ORIGIN, generateKeyPairSync('ed25519').privateKey)
const head = (size: number, root: string): string =>
  signCheckpoint({ size, root: sha256(Buffer.from(root)) }, key).note
const codesOf = (results: readonly PromiseSettledResult<unknown>[]): string[] =>
  results.map((result) => (result.status === 'fulfilled' ? 'ok' : (result.reason as ZtError).code)).toSorted()

describe('anchors', () => {
  let caller: VerifiedSvid
  let dir: string
  let store: HubStore
  let log: DurableLog
  let full: boolean
  let anchors: Anchors
  before(async () => {
    const authority = await createTestAuthority()
    caller = authority.validator().validate((await authority.identity('/node/n1')).chain, TEST_NOW)
  })
  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'zt-anchors-'))
    createSqliteStore(join(dir, 'hub.db'))
    store = openSqliteStore(join(dir, 'hub.db'))
    const clock = new ManualClock(TEST_NOW)
    log = openDurableLog({
      file: join(dir, 'log.db'),
      origin: HUB_ORIGIN,
      signer: createNoteSigner(HUB_ORIGIN, generateKeyPairSync('ed25519').privateKey),
      clock,
      boot: 'b',
      ifMissing: 'create',
    })
    full = false
    const append: DurableLog['append'] = (draft) =>
      full ? Promise.reject(new ZtError('ZT-503-AUDIT', 'the disk is full')) : log.append(draft)
    anchors = new Anchors({
      clock,
      nodes: store.nodes,
      log: {
        origin: HUB_ORIGIN,
        append,
        records: (from, to) => log.records(from, to),
        proveInclusion: (index, size) => log.proveInclusion(index, size),
        proveConsistency: (old, size) => log.proveConsistency(old, size),
      },
      refusals: new Refusals({ rows: { append }, clock, log: silentLogger }),
    })
    const [hash, device] = [new Uint8Array(32), new Uint8Array(91)]
    const token = { hash, node: 'n1', replace: false, createdBy: 'x', expires: TEST_NOW + 1 }
    await store.joinTokens.add(token)
    const named = { origin: ORIGIN, vkey: key.vkey }
    await store.joinTokens.redeem({ hash, node: 'n1', device, log: named, now: TEST_NOW })
    await store.nodes.attest({ name: 'n1', lvl: 1, boot: 'b', log: named, now: TEST_NOW })
  })
  afterEach(async () => {
    await store.close()
    await log.close()
    rmSync(dir, { recursive: true })
  })
  const anchor = (checkpoint: string, old = 0): Promise<Anchored> =>
    anchors.anchor({ checkpoint, old, proof: [], hub_old: 0 }, { caller, request: {} })
  const rowsOf = (type: string): RowBody[] =>
    [...log.rows()].map((row) => parseRow(row.body)).filter((row) => row.type === type)
  const distrusted = async (): Promise<boolean> => (await store.nodes.find('n1'))?.distrustedAt !== undefined

  it('catches two heads of one size that come at the same time', async () => {
    const results = await Promise.allSettled([anchor(head(3, 'a')), anchor(head(3, 'b'))])
    assert.deepEqual(codesOf(results), ['ZT-490-FORK', 'ok'])
    assert.equal(await distrusted(), true)
    await assert.rejects(anchor(head(3, 'a'), 3), { code: 'ZT-490-FORK' })
  })

  it('tells the loser of a race that is no lie which head is held', async () => {
    const results = await Promise.allSettled([anchor(head(3, 'a')), anchor(head(4, 'b'))])
    assert.deepEqual(codesOf(results), ['ZT-409-ANCHOR', 'ok'])
    assert.equal(await distrusted(), false)
  })

  it('distrusts a node that lies while the disk is full', async () => {
    await anchor(head(3, 'a'))
    full = true
    await assert.rejects(anchor(head(3, 'b'), 3), { code: 'ZT-503-AUDIT' })
    assert.equal(await distrusted(), true)
  })

  it('says in the row which two notes, by their digests', async () => {
    const [one, two] = [head(3, 'a'), head(3, 'b')]
    await anchor(one)
    await assert.rejects(anchor(two, 3), { code: 'ZT-490-FORK' })
    const obj = {
      node: 'n1',
      size: 3,
      held_sha256: sha256Text(one),
      received_sha256: sha256Text(two),
    }
    assert.deepEqual({ ...rowsOf('equivocation.detected')[0]?.obj }, obj)
  })

  it('writes the row of a note that is refused, however long it is', async () => {
    const note = '\u0001'.repeat(16 * 1024)
    await assert.rejects(anchor(note), { code: 'ZT-422-NOTE' })
    assert.equal(rowsOf('anchor.rejected')[0]?.obj?.['note_sha256'], sha256Text(note))
  })
})
