import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { DENY_TYP, DenyList, openDenyList, signDenyList, type DenyEntry } from '#shared/protocol/deny-list.ts'
import { readCommandEnvelope } from '#shared/protocol/envelope.ts'
import { sealReceipt } from '#shared/protocol/receipt.ts'
import { signStatement } from '#shared/protocol/signed.ts'
import {
  createProtocolFixture,
  envelopeBody,
  NOW_S,
  type ProtocolFixture,
} from '#test/support/protocol-fixture.ts'
import { createTestAuthority, TEST_NOW } from '#test/support/test-authority.ts'

let fixture: ProtocolFixture
before(async () => {
  fixture = await createProtocolFixture()
})

const context = (): Parameters<typeof openDenyList>[1] => ({ trust: fixture.trust, now: TEST_NOW })
const entry = (): DenyEntry => ({
  kind: 'id',
  value: fixture.operator.id,
  from: NOW_S,
  reason: 'left the team',
})
const signed = (ver: number, entries: readonly DenyEntry[]): string =>
  signDenyList(fixture.hub, { ver, entries, now: TEST_NOW })

describe('deny list', () => {
  it('denies nobody before the first list', () => {
    const deny = new DenyList()
    assert.equal(deny.version, -1)
    deny.check(fixture.operator)
  })

  it('denies an identity with every certificate, and a certificate alone', () => {
    const deny = new DenyList()
    deny.replace(openDenyList(signed(1, [entry()]), context()))
    assert.throws(() => deny.check(fixture.operator), { code: 'ZT-403-REVOKED' })
    assert.throws(() => deny.check({ id: fixture.operator.id, thumbprint: 'x' }), { code: 'ZT-403-REVOKED' })
    deny.check(fixture.stranger)
    const thumbprint = { ...entry(), kind: 'thumbprint' as const, value: fixture.operator.thumbprint }
    deny.replace(openDenyList(signed(2, [thumbprint]), context()))
    assert.throws(() => deny.checkThumbprint(fixture.operator.thumbprint), { code: 'ZT-403-REVOKED' })
    assert.throws(() => deny.check(fixture.operator), { code: 'ZT-403-REVOKED' })
    deny.check({ id: fixture.operator.id, thumbprint: fixture.stranger.thumbprint })
  })

  it('denies nobody by an entry that is closed', () => {
    const deny = new DenyList()
    const closed = { ...entry(), since: NOW_S - 60, until: NOW_S + 1 }
    deny.replace(openDenyList(signed(1, [closed]), context()))
    deny.check(fixture.operator)
    deny.replace(openDenyList(signed(2, [closed, entry()]), context()))
    assert.throws(() => deny.check(fixture.operator), { code: 'ZT-403-REVOKED' })
  })

  const contradictions: Record<string, Partial<DenyEntry>> = {
    'whose data is suspect only after the denial': { since: NOW_S + 1 },
    'that ends before it begins': { until: NOW_S - 1 },
    'of an identity, with what belongs to a certificate': { exp: NOW_S },
  }
  for (const [what, fields] of Object.entries(contradictions))
    it(`has no entry ${what}`, () => {
      assert.throws(() => signed(1, [{ ...entry(), ...fields }]), { code: 'ZT-422-SCHEMA' })
    })

  it('lets somebody back in only with a newer list', () => {
    const deny = new DenyList()
    deny.replace(openDenyList(signed(5, [entry()]), context()))
    assert.throws(() => deny.replace(openDenyList(signed(4, []), context())), { code: 'ZT-408-STALE' })
    deny.replace(openDenyList(signed(5, []), context()))
    assert.throws(() => deny.check(fixture.operator), { code: 'ZT-403-REVOKED' })
    deny.replace(openDenyList(signed(6, []), context()))
    deny.check(fixture.operator)
    assert.equal(deny.version, 6)
  })

  it('is not believed from a node, an operator or a foreign hub', async () => {
    const body = { v: 1, iss: fixture.hub.id, ver: 9, iat: NOW_S, entries: [] }
    for (const signer of [fixture.node, fixture.operator]) {
      for (const iss of [signer.id, fixture.hub.id]) {
        const text = signStatement(signer, DENY_TYP, { ...body, iss })
        assert.throws(() => openDenyList(text, context()), { code: 'ZT-421-MISDIRECTED' })
      }
    }
    const foreign = await (await createTestAuthority()).identity('/hub/h1')
    assert.throws(() => openDenyList(signStatement(foreign, DENY_TYP, body), context()), {
      code: 'ZT-401-CERT',
    })
  })

  it('is not believed in the name of another hub, or under another type', () => {
    const body = { v: 1, iss: 'spiffe://mesh.example/hub/h2', ver: 9, iat: NOW_S, entries: [] }
    assert.throws(() => openDenyList(signStatement(fixture.hub, DENY_TYP, body), context()), {
      code: 'ZT-421-MISDIRECTED',
    })
    const other = signStatement(fixture.hub, 'zt-receipt+jws', { ...body, iss: fixture.hub.id })
    assert.throws(() => openDenyList(other, context()), { code: 'ZT-400-MALFORMED' })
  })

  it('is never signed larger than receivers read and one receipt carries', async () => {
    const many = (count: number): readonly DenyEntry[] =>
      Array.from({ length: count }, (_, index) => ({
        ...entry(),
        value: `spiffe://mesh.example/agent/analyst/task/${index}`,
      }))
    const text = signed(1, many(2000))
    assert.equal(openDenyList(text, context()).entries.length, 2000)
    const question = readCommandEnvelope(canonicalBytes(envelopeBody(fixture)))
    await sealReceipt(fixture.hub, {
      to: question,
      outcome: { op: 'deny', ok: true, result: { deny: text } },
      now: TEST_NOW,
    })
    assert.throws(() => signed(1, many(4096)), { code: 'ZT-413-SIZE' })
    assert.throws(() => signed(1, many(4097)), { code: 'ZT-413-SIZE' })
  })

  const entries: Record<string, object> = {
    'an identity that is none, and would deny nobody': { value: 'ann' },
    'a thumbprint in hex, which would deny nobody': { kind: 'thumbprint', value: 'a'.repeat(64) },
    'an identity where a thumbprint belongs': { kind: 'thumbprint' },
    'an unknown kind': { kind: 'segment' },
    'a reason of two lines': { reason: 'a\nb' },
    'an unknown field': { until: 1 },
  }
  for (const [what, change] of Object.entries(entries)) {
    it(`refuses ${what}, on both sides`, () => {
      const bent = { ...entry(), ...change } as DenyEntry
      assert.throws(() => signed(1, [bent]), { code: 'ZT-422-SCHEMA' })
      const text = signStatement(fixture.hub, DENY_TYP, {
        v: 1,
        iss: fixture.hub.id,
        ver: 1,
        iat: NOW_S,
        entries: [bent],
      })
      assert.throws(() => openDenyList(text, context()), { code: 'ZT-422-SCHEMA' })
    })
  }
})
