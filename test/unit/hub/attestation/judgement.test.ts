// The PCR policy's sets are matched whole, for their nodes, until their time; and the composed judgement calls every check.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { judgePcrs } from '#hub/attestation/pcr-judgement.ts'
import { verifyProof, type ProofExpectation } from '#hub/attestation/verify.ts'
import { verifyAk } from '#hub/attestation/attestation-key.ts'
import type { ErrorCode } from '#shared/errors/codes.ts'
import { parseNodeName } from '#shared/identity/names.ts'
import { parsePcrPolicy, type PcrPolicy } from '#shared/protocol/pcr-policy.ts'
import {
  attest,
  pcrValues,
  quoteBody,
  signAttest,
  softAk,
  type AttestParts,
} from '#test/support/forged-tpm.ts'
import { ecKeys } from '#test/support/vendor-ca.ts'

const NOW = Date.UTC(2026, 10, 22)
const NODE = parseNodeName('mac-mini')
const INDICES = [0, 7]
const OLD = pcrValues(INDICES)
const NEW = { ...OLD, 7: 'ab'.repeat(32) }

const policy = (change: Partial<Record<keyof PcrPolicy, unknown>> = {}): PcrPolicy =>
  parsePcrPolicy(
    {
      v: 1,
      td: 'mesh.example',
      version: 4,
      bank: 'sha256',
      indices: INDICES,
      sets: [
        { name: 'before', notAfter: NOW + 1000, values: OLD },
        { name: 'after', values: NEW },
        { name: 'other', nodes: ['build-box'], values: { 0: '11'.repeat(32), 7: '11'.repeat(32) } },
      ],
      ...change,
    },
    '',
  )

describe('a pcr policy', () => {
  const judge = (pcrs: Readonly<Record<string, string>>, now: number = NOW): string =>
    judgePcrs(policy(), { node: NODE, pcrs, now }).set

  it('accepts any of its sets that is in force', () => {
    assert.equal(judge(OLD), 'before')
    assert.equal(judge(NEW), 'after')
  })

  it('ends a set at its time, to the millisecond', () => {
    assert.equal(judge(OLD, NOW + 999), 'before')
    assert.throws(() => judge(OLD, NOW + 1000), { code: 'ZT-403-PCR' })
  })

  it('refuses drift, and names the closest set and the registers', () => {
    const details = { reason: 'drift', version: 4, set: 'before', pcrs: '0' }
    assert.throws(() => judge({ ...OLD, 0: 'cd'.repeat(32) }), { code: 'ZT-403-PCR', details })
  })

  it('refuses values that lack a register', () => {
    assert.throws(() => judge({ 0: OLD['0'] ?? '' }), { code: 'ZT-403-PCR' })
    assert.throws(() => judge({}), { code: 'ZT-403-PCR' })
  })

  it('refuses what is accepted for another node only', () => {
    assert.throws(() => judge({ 0: '11'.repeat(32), 7: '11'.repeat(32) }), { code: 'ZT-403-PCR' })
    const bound = policy({ sets: [{ name: 'other', nodes: ['build-box'], values: OLD }] })
    assert.throws(() => judgePcrs(bound, { node: NODE, pcrs: OLD, now: NOW }), {
      code: 'ZT-403-PCR',
      details: { reason: 'no-set', version: 4 },
    })
  })
})

describe('a whole proof', () => {
  const ak = softAk()
  const selection = { bank: 'sha256', indices: INDICES } as const
  const expected: ProofExpectation = {
    node: NODE,
    ak: verifyAk({ public: ak.public }),
    extraData: Buffer.alloc(32, 1),
    spki: ecKeys().spki,
    selection,
    policy: policy(),
    now: NOW,
  }
  const quote = (change: Partial<AttestParts> = {}): Parameters<typeof verifyProof>[0]['quote'] => {
    const bytes = attest({ extraData: expected.extraData, body: quoteBody(OLD, [selection]), ...change })
    return { attest: bytes, signature: signAttest(ak.privateKey, bytes), pcrs: OLD }
  }
  const refused = (code: ErrorCode, change: Partial<ProofExpectation>): void =>
    assert.throws(() => verifyProof({ quote: quote() }, { ...expected, ...change }), { code })

  it('says which set accepted it, that the key is soft, and what it was decided on', () => {
    const verdict = verifyProof({ quote: quote() }, expected)
    assert.equal(verdict.set, 'before')
    assert.equal(verdict.level, 'tpm-quote/soft-key')
    assert.match(verdict.evidence, /^sha-256:[A-Za-z0-9_-]{43}$/)
    assert.notEqual(verdict.evidence, verifyProof({ quote: quote({ clock: 1 }) }, expected).evidence)
  })

  it('is told by a digest of all that was judged, and of nothing else', () => {
    const bytes = quote()
    const digestOf = (change: Partial<ProofExpectation>, eventLog?: Uint8Array): string =>
      verifyProof({ quote: bytes, ...(eventLog && { eventLog }) }, { ...expected, ...change }).evidence
    const plain = digestOf({})
    assert.notEqual(digestOf({ hello: Buffer.alloc(32, 3) }), plain)
    assert.notEqual(digestOf({ hello: Buffer.alloc(32, 3) }), digestOf({ hello: Buffer.alloc(32, 4) }))
    // No policy asked for a log, so none was read.
    assert.equal(digestOf({}, Buffer.from('not a log')), plain)
  })

  it('is accepted without a policy, which then names no set', () => {
    const { policy: none, ...rest } = expected
    assert.ok(none)
    assert.equal(verifyProof({ quote: quote() }, rest).set, undefined)
  })

  it('is refused where any of its parts is', () => {
    refused('ZT-403-PCR', { policy: policy({ sets: [{ name: 'after', values: NEW }] }) })
    refused('ZT-401-TPM-EVENTLOG', { policy: policy({ eventLog: 'required' }) })
    refused('ZT-401-TPM-EXTRA', { extraData: Buffer.alloc(32, 2) })
    refused('ZT-401-TPM-CLOCK', { clock: { clock: 0, resetCount: 8, restartCount: 0, safe: true } })
    const unsafe = { quote: quote({ safe: 0 }) }
    assert.throws(() => verifyProof(unsafe, { ...expected, policy: policy({ requireSafeClock: true }) }), {
      code: 'ZT-401-TPM-UNSAFE',
    })
  })

  it('is refused with a key that the TPM did not certify, though it need not be certified', () => {
    const bytes = quote()
    const certified = { public: ak.public, attest: bytes.attest, signature: bytes.signature }
    assert.throws(() => verifyProof({ quote: bytes, certified }, expected), { code: 'ZT-401-TPM-TYPE' })
  })
})
