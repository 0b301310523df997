import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { openRootUsage, ROOT_USAGE_TYP, signRootUsage } from '#shared/protocol/root-usage.ts'
import { signStatement } from '#shared/protocol/signed.ts'
import { createProtocolFixture, NOW_S, type ProtocolFixture } from '#test/support/protocol-fixture.ts'
import { createTestAuthority, TEST_NOW } from '#test/support/test-authority.ts'

const OLD = 'a'.repeat(64)
const NEW = 'b'.repeat(64)
const HOUR = 3_600_000
const roots = [
  { fingerprint: OLD, live: 0 },
  { fingerprint: NEW, live: 12, since: NOW_S - 60 },
]

let fixture: ProtocolFixture
before(async () => {
  fixture = await createProtocolFixture()
})

const context = (now: number = TEST_NOW): Parameters<typeof openRootUsage>[1] => ({
  trust: fixture.trust,
  now,
  maxAgeMs: HOUR,
})
const body = (changes: object = {}): object => ({
  v: 1,
  iss: fixture.hub.id,
  iat: NOW_S,
  td: 'mesh.example',
  roots,
  ...changes,
})
const bent = (changes: object): string => signStatement(fixture.hub, ROOT_USAGE_TYP, body(changes))

describe('root usage statement', () => {
  it('says what the hub counted', () => {
    const opened = openRootUsage(signRootUsage(fixture.hub, { roots, now: TEST_NOW }), context())
    assert.deepEqual(opened, body())
  })

  it('is still read when the SVID that signed it has ended, up to its age', () => {
    const text = signRootUsage(fixture.hub, { roots, now: TEST_NOW })
    assert.ok(fixture.hub.notAfter < TEST_NOW + HOUR)
    assert.equal(openRootUsage(text, context(TEST_NOW + HOUR)).iat, NOW_S)
    assert.throws(() => openRootUsage(text, context(TEST_NOW + HOUR + 1)), { code: 'ZT-408-STALE' })
  })

  it('is refused when it claims a time at which its signer had no SVID', () => {
    const claim = (offsetS: number): string => bent({ iat: NOW_S + offsetS })
    assert.throws(() => openRootUsage(claim(600), context(TEST_NOW + 600_000)), { code: 'ZT-401-CERT' })
    assert.throws(() => openRootUsage(claim(-600), context()), { code: 'ZT-401-CERT' })
    assert.throws(() => openRootUsage(claim(120), context()), { code: 'ZT-408-STALE' })
  })

  it('is believed from a hub of the mesh alone', async () => {
    for (const signer of [fixture.node, fixture.operator]) {
      const text = signStatement(signer, ROOT_USAGE_TYP, body({ iss: signer.id }))
      assert.throws(() => openRootUsage(text, context()), { code: 'ZT-421-MISDIRECTED' })
    }
    const foreign = await (await createTestAuthority()).identity('/hub/h1')
    const text = signRootUsage(foreign, { roots, now: TEST_NOW })
    assert.throws(() => openRootUsage(text, context()), { code: 'ZT-401-CERT' })
    assert.throws(() => openRootUsage(bent({ iss: 'spiffe://mesh.example/hub/h2' }), context()), {
      code: 'ZT-421-MISDIRECTED',
    })
    assert.throws(() => openRootUsage(bent({ td: 'other.example' }), context()), {
      code: 'ZT-421-MISDIRECTED',
    })
  })

  it('is refused when a byte of it was changed', () => {
    const text = signRootUsage(fixture.hub, { roots, now: TEST_NOW })
    const [header, , signature] = text.split('.')
    const other = signRootUsage(fixture.hub, { roots: [{ fingerprint: OLD, live: 7 }], now: TEST_NOW })
    const moved = [header, other.split('.')[1], signature].join('.')
    assert.throws(() => openRootUsage(moved, context()), { code: 'ZT-401-SIG' })
  })

  const refused: Record<string, object> = {
    'a root twice': {
      roots: [
        { fingerprint: OLD, live: 3 },
        { fingerprint: OLD, live: 0 },
      ],
    },
    'no root at all': { roots: [] },
    'a negative count': { roots: [{ fingerprint: OLD, live: -1 }] },
    'a fingerprint in capitals': { roots: [{ fingerprint: 'A'.repeat(64), live: 0 }] },
    'a time of trust that is no whole second': { roots: [{ fingerprint: OLD, live: 0, since: NOW_S + 0.5 }] },
    'a field that nobody knows': { extra: 1 },
  }
  for (const [what, changes] of Object.entries(refused))
    it(`refuses ${what}`, () => {
      assert.throws(() => openRootUsage(bent(changes), context()), { code: 'ZT-422-SCHEMA' })
    })
})
