// The PCR policy in force goes forward, is written down before it counts, and is still in force after a restart.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { PcrPolicies, type PcrPolicyParts } from '#hub/admission/pcr-policies.ts'
import { createSqliteStore, openSqliteStore } from '#hub/store/sqlite.ts'
import { silentLogger } from '#shared/host/logger.ts'
import { parseTrustDomain } from '#shared/identity/names.ts'
import { operatorId, hubId } from '#shared/identity/spiffe-id.ts'
import { parseOperatorName } from '#shared/identity/names.ts'
import { generateNoteKey } from '#shared/log/note-key.ts'
import { signPcrPolicy, type PcrPolicy } from '#shared/protocol/pcr-policy.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { RowLog } from '#test/fakes/row-log.ts'
import { tempDir } from '#test/support/temp-dir.ts'

const td = parseTrustDomain('mesh.example')
const { signer } = generateNoteKey('pcr.mesh.example')
const by = { id: operatorId(td, parseOperatorName('alice')) }

function note(version: number, change: Partial<PcrPolicy> = {}): string {
  const sets = [{ name: 'a', values: { 4: '1'.repeat(64) } }]
  return signPcrPolicy({ v: 1, td, version, bank: 'sha256', indices: [4], sets, ...change }, [signer])
}

async function made(t: TestContext): Promise<{ parts: PcrPolicyParts; rows: RowLog; dir: string }> {
  const dir = await tempDir(t)
  createSqliteStore(join(dir, 'hub.db'))
  const store = openSqliteStore(join(dir, 'hub.db'))
  t.after(() => store.close())
  const rows = new RowLog()
  const clock = new ManualClock()
  const parts = {
    store: store.pcrPolicies,
    rows,
    clock,
    log: silentLogger,
    td,
    hubId: hubId(td, 'h1'),
    keys: [signer],
  }
  return { parts, rows, dir }
}

describe('the PCR policy in force', () => {
  it('is none at first: then the registers of the boot are quoted, and all values are taken', async (t) => {
    const { parts } = await made(t)
    const policies = await PcrPolicies.open(parts, undefined)
    assert.equal(policies.current, undefined)
    assert.deepEqual(policies.wish(), { bank: 'sha256', indices: [0, 1, 2, 3, 4, 5, 6, 7], eventLog: false })
  })

  it('says what is to be quoted, and outlives a restart', async (t) => {
    const { parts, rows } = await made(t)
    await (await PcrPolicies.open(parts, undefined)).apply(note(3, { eventLog: 'required' }), by)
    assert.deepEqual(rows.types, ['pcr_policy.applied'])
    const again = await PcrPolicies.open(parts, undefined)
    assert.equal(again.current?.policy.version, 3)
    assert.deepEqual(again.wish(), { bank: 'sha256', indices: [4], eventLog: true })
  })

  it('takes a date for a version, and no version after which none could follow', async (t) => {
    const { parts, rows } = await made(t)
    const policies = await PcrPolicies.open(parts, undefined)
    for (const version of [Number.MAX_SAFE_INTEGER, 100_000_000_000_001])
      await assert.rejects(policies.apply(note(version), by), { code: 'ZT-409-PCR-POLICY' })
    assert.equal(rows.rows.length, 0)
    await policies.apply(note(20_261_122_105_500), by)
  })

  it('never goes back, and is not applied twice', async (t) => {
    const { parts, rows } = await made(t)
    const policies = await PcrPolicies.open(parts, undefined)
    await policies.apply(note(3), by)
    for (const version of [1, 2, 3])
      await assert.rejects(policies.apply(note(version), by), { code: 'ZT-409-PCR-POLICY' })
    assert.equal(rows.rows.length, 1)
    const [first, second] = await Promise.allSettled([
      policies.apply(note(4), by),
      policies.apply(note(4), by),
    ])
    assert.deepEqual([first.status, second.status], ['fulfilled', 'rejected'])
  })

  it('is not changed by what could not be written down', async (t) => {
    const { parts, rows } = await made(t)
    const policies = await PcrPolicies.open(parts, undefined)
    rows.full = true
    await assert.rejects(policies.apply(note(1), by), { code: 'ZT-503-AUDIT' })
    assert.equal(policies.current, undefined)
    assert.equal(await parts.store.current(), undefined)
  })

  it('is taken from the file of the configuration if that is newer, and from an older one never', async (t) => {
    const { parts, dir } = await made(t)
    const file = join(dir, 'policy.note')
    writeFileSync(file, note(2))
    assert.equal((await PcrPolicies.open(parts, file)).current?.policy.version, 2)
    assert.equal((await PcrPolicies.open(parts, file)).current?.appliedBy, 'spiffe://mesh.example/hub/h1')
    writeFileSync(file, note(1))
    assert.equal((await PcrPolicies.open(parts, file)).current?.policy.version, 2)
    writeFileSync(file, note(2, { requireSafeClock: true }))
    await assert.rejects(PcrPolicies.open(parts, file), { code: 'ZT-409-PCR-POLICY' })
  })

  it('keeps the hub from starting if its key is not named any more', async (t) => {
    const { parts } = await made(t)
    await (await PcrPolicies.open(parts, undefined)).apply(note(1), by)
    await assert.rejects(PcrPolicies.open({ ...parts, keys: [] }, undefined), { code: 'ZT-403-PCR-POLICY' })
  })
})
