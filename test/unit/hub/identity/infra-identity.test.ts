// The hub's own SVID: short, renewed in time, and gone rather than stale.
import assert from 'node:assert/strict'
import { beforeEach, describe, it } from 'node:test'
import { InfraIdentity, type InfraParts } from '#hub/identity/infra-identity.ts'
import { ZtError } from '#shared/errors/error.ts'
import { silentLogger } from '#shared/host/logger.ts'
import type { Identity } from '#shared/identity/identity.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { RowLog } from '#test/fakes/row-log.ts'
import { makeTestPki, type TestPki } from '#test/support/test-pki.ts'

const NOW = Date.UTC(2026, 10, 22, 12)

describe('the identity of the hub', () => {
  let pki: TestPki
  let clock: ManualClock
  let rows: RowLog
  let ladderEnded: boolean
  let seen: Identity[]
  beforeEach(async () => {
    pki = await makeTestPki({ now: NOW })
    clock = new ManualClock(NOW)
    rows = new RowLog()
    ladderEnded = false
    seen = []
  })
  const parts = (change: Partial<InfraParts> = {}): InfraParts => ({
    id: parseSpiffeId('spiffe://mesh.example/hub/h1'),
    dnsNames: ['localhost'],
    issuer: () => {
      if (ladderEnded) throw new ZtError('ZT-503-LADDER', 'the ladder has ended')
      return { ...pki.infra, root: 'f'.repeat(64) }
    },
    ttlMs: 300_000,
    clock,
    rows,
    svids: { record: () => Promise.resolve() },
    log: silentLogger,
    ...change,
  })
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve))
  }
  // Timers set each other: time moves in small steps, as it does.
  const pass = async (ms: number): Promise<void> => {
    for (let gone = 0; gone < ms; gone += 5000) {
      clock.advance(5000)
      await settle()
    }
  }
  const open = async (change: Partial<InfraParts> = {}): Promise<InfraIdentity> => {
    const identity = await InfraIdentity.open(parts(change))
    identity.start(async (next) => void seen.push(next))
    return identity
  }

  it('is an SVID of the hub for five minutes, with its row', async () => {
    const identity = (await open()).current()
    const svid = new SvidValidator(pki.bundle).validate(identity.chain, NOW)
    assert.equal(svid.id, 'spiffe://mesh.example/hub/h1')
    assert.equal(identity.notAfter, NOW + 300_000)
    assert.deepEqual(rows.types, ['svid.rotated'])
  })

  it('is not issued when its row cannot be written', async () => {
    rows.full = true
    await assert.rejects(InfraIdentity.open(parts()), { code: 'ZT-503-AUDIT' })
  })

  it('is renewed at half of its life, with a new key', async () => {
    const identity = await open()
    const first = identity.current()
    await pass(145_000)
    assert.equal(identity.current(), first)
    await pass(10_000)
    const second = identity.current()
    assert.notEqual(second.thumbprint, first.thumbprint)
    assert.deepEqual(seen, [second])
    assert.notDeepEqual(second.key.export({ format: 'jwk' }), first.key.export({ format: 'jwk' }))
  })

  it('goes on being renewed', async () => {
    await open()
    await pass(20 * 60_000)
    assert.ok(seen.length >= 7 && seen.length <= 8, String(seen.length))
  })

  it('is kept while it lasts when there is no intermediate, and is then gone', async () => {
    const identity = await open()
    const first = identity.current()
    ladderEnded = true
    await pass(200_000)
    assert.equal(identity.current(), first)
    await pass(100_000)
    assert.throws(() => identity.current(), { code: 'ZT-503-LADDER' })
  })

  it('comes back by itself when there is an intermediate again', async () => {
    const identity = await open()
    ladderEnded = true
    await pass(400_000)
    ladderEnded = false
    await pass(5000)
    assert.ok(identity.current().notAfter > clock.now())
  })

  it('is in force even if whoever uses it fails to take it up', async () => {
    const identity = await InfraIdentity.open(parts())
    const first = identity.current()
    identity.start(() => Promise.reject(new Error('no broker')))
    await pass(160_000)
    assert.notEqual(identity.current(), first)
  })

  it('is renewed at once when it is asked to be, and goes on from there', async () => {
    const identity = await open()
    const first = identity.current()
    await identity.renewNow()
    assert.notEqual(identity.current(), first)
    assert.deepEqual(seen, [identity.current()])
    await pass(160_000)
    assert.equal(seen.length, 2)
  })

  it('that cannot be renewed at once says so, and stays', async () => {
    const identity = await open()
    const first = identity.current()
    ladderEnded = true
    await assert.rejects(identity.renewNow(), { code: 'ZT-503-LADDER' })
    assert.equal(identity.current(), first)
  })

  it('that was not put in use is offered again until it is', async () => {
    const identity = await InfraIdentity.open(parts())
    let broken = true
    identity.start(async (next) => {
      if (broken) throw new Error('no broker')
      seen.push(next)
    })
    await assert.rejects(identity.renewNow())
    await pass(10_000)
    assert.deepEqual(seen, [])
    broken = false
    await pass(10_000)
    assert.deepEqual(seen, [identity.current()])
  })

  it('is renewed no more when the hub ends', async () => {
    const identity = await open()
    identity.close()
    await pass(200_000)
    assert.deepEqual(seen, [])
  })

  it('is not given for a name that the intermediate may not give', async () => {
    await assert.rejects(InfraIdentity.open(parts({ dnsNames: ['evil.example'] })), { code: 'ZT-422-NAME' })
  })
})
