// The request for a ladder: what it must prove about every slot and key before a root looks at it.
import assert from 'node:assert/strict'
import type { KeyObject } from 'node:crypto'
import { describe, it } from 'node:test'
import {
  encodeLadderRequest,
  parseLadderRequest,
  provePossession,
  type LadderRequest,
  type RequestedRung,
} from '#pki/issuance/ladder-request.ts'
import { parseTrustDomain } from '#shared/identity/names.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { generateP256 } from '#shared/jose/keys.ts'

const DAY = 86_400_000
const HOUR = 3_600_000
const NOW = Date.UTC(2026, 10, 22)
const TRUST_DOMAIN = 'mesh.example'
const HUB = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/hub/h1`)
const NODE = parseSpiffeId(`spiffe://${TRUST_DOMAIN}/node/n1`)

describe('ladder request', () => {
  const head = {
    trustDomain: parseTrustDomain(TRUST_DOMAIN),
    hub: HUB,
    nonce: 'ab'.repeat(32),
    previous: null,
  }
  const rungOf = (index: number, from: number): RequestedRung => {
    const slot = { index, from, until: from + DAY }
    const prove = (role: 'workload' | 'infra'): RequestedRung['infra'] => {
      const keys = generateP256()
      return provePossession(head, slot, { role, spki: keys.spki, privateKey: keys.privateKey })
    }
    return { ...slot, workload: prove('workload'), infra: prove('infra') }
  }
  const rungs = [rungOf(0, NOW), rungOf(1, NOW + DAY)]
  const parse = (change: Partial<LadderRequest>): LadderRequest =>
    parseLadderRequest(encodeLadderRequest({ ...head, rungs, ...change }))
  const second = (change: Partial<RequestedRung>): Partial<LadderRequest> => ({
    rungs: [rungs[0]!, { ...rungs[1]!, ...change }],
  })
  const stolen = (): RequestedRung['infra'] => {
    const { spki } = generateP256()
    const other: KeyObject = generateP256().privateKey
    return provePossession(head, rungs[1]!, {
      role: 'infra',
      spki,
      privateKey: other,
    })
  }

  it('is read as it was written', () => {
    const request = parse({})
    assert.equal(request.rungs.length, 2)
    assert.deepEqual(encodeLadderRequest(request), encodeLadderRequest({ ...head, rungs }))
  })

  const refused: Record<string, [string, () => Partial<LadderRequest>]> = {
    'a node that asks': ['check-hub', () => ({ hub: NODE })],
    'a hub of another trust domain': [
      'check-hub',
      () => ({ hub: parseSpiffeId('spiffe://other.example/hub/h1') }),
    ],
    'a gap': ['check-slots', () => second({ from: NOW + DAY + HOUR, until: NOW + 2 * DAY + HOUR })],
    'an overlap': ['check-slots', () => second({ from: NOW + DAY - HOUR, until: NOW + 2 * DAY - HOUR })],
    'a slot of 25 hours': ['check-slots', () => second({ until: NOW + 2 * DAY + HOUR })],
    'a number left out': ['check-slots', () => second({ index: 2 })],
    'one key for two slots': ['check-unique-keys', () => second({ workload: rungs[0]!.workload })],
    'one key for both authorities': ['check-unique-keys', () => second({ workload: rungs[1]!.infra })],
    'a key that the hub does not hold': ['check-possession', () => second({ infra: stolen() })],
    'a proof for another slot': [
      'check-possession',
      () => ({ rungs: [rungOf(0, NOW), { ...rungOf(2, NOW + DAY), index: 1 }] }),
    ],
    'proofs for the other authority': [
      'check-possession',
      () => second({ workload: rungs[1]!.infra, infra: rungs[1]!.workload }),
    ],
    'proofs of another request': ['check-possession', () => ({ nonce: 'cd'.repeat(32) })],
    'proofs for another previous response': ['check-possession', () => ({ previous: '0'.repeat(64) })],
    'proofs of another hub': [
      'check-possession',
      () => ({ hub: parseSpiffeId(`spiffe://${TRUST_DOMAIN}/hub/h2`) }),
    ],
  }
  for (const [what, [check, change]] of Object.entries(refused)) {
    it(`is refused with ${what}`, () => {
      assert.throws(() => parse(change()), { code: 'ZT-422-CEREMONY', details: { check } })
    })
  }

  it('is refused with no rungs, or with more than 30', () => {
    assert.throws(() => parse({ rungs: [] }), { code: 'ZT-422-CEREMONY' })
    const many = Array.from({ length: 31 }, () => rungs[0]!)
    assert.throws(() => parse({ rungs: many }), { code: 'ZT-422-CEREMONY' })
  })
})
