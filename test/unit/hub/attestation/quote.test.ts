// A quote proves exactly what was asked for, to who asked, now: every other one has a code of its own.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { verifyQuote, type QuoteExpectation } from '#hub/attestation/quote.ts'
import type { QuoteEvidence } from '#hub/attestation/evidence.ts'
import type { ErrorCode } from '#shared/errors/codes.ts'
import { TAG } from '#shared/tpm/constants.ts'
import {
  attest,
  ecdsaSignature,
  namedBody,
  pcrValues,
  quoteBody,
  rsaSignature,
  signAttest,
  softAk,
  softRsaAk,
  type AttestParts,
  type SoftAk,
} from '#test/support/forged-tpm.ts'

const AK = softAk()
const INDICES = [0, 7, 16]
const PCRS = pcrValues(INDICES)
const EXTRA = Buffer.alloc(32, 0xe5)
const EXPECTED: QuoteExpectation = {
  ak: { public: AK.area },
  extraData: EXTRA,
  selection: { bank: 'sha256', indices: INDICES },
}
const BODY = quoteBody(PCRS, [EXPECTED.selection])

function quoted(change: Partial<AttestParts> = {}, ak: SoftAk = AK): QuoteEvidence {
  const bytes = attest({ extraData: EXTRA, body: BODY, ...change })
  return { attest: bytes, signature: signAttest(ak.privateKey, bytes), pcrs: PCRS }
}

const refused = (code: ErrorCode, evidence: QuoteEvidence, change: Partial<QuoteExpectation> = {}): void =>
  assert.throws(() => verifyQuote(evidence, { ...EXPECTED, ...change }), { code })

const over = (
  ...selections: readonly { bank: 'sha1' | 'sha256' | 'sha384'; indices: number[] }[]
): QuoteEvidence => quoted({ body: quoteBody(PCRS, selections) })

describe('a quote', () => {
  it('is accepted with what it says of registers, clock and firmware', () => {
    const facts = verifyQuote(quoted(), EXPECTED)
    assert.deepEqual(facts, {
      pcrs: PCRS,
      clock: { clock: 100_000, resetCount: 7, restartCount: 3, safe: true },
      firmware: '2019102300163636',
    })
  })

  it('is accepted by an RSA key', () => {
    const ak = softRsaAk()
    verifyQuote(quoted({}, ak), { ...EXPECTED, ak: { public: ak.area } })
  })

  it('is refused with another magic (A1)', () => {
    refused('ZT-401-TPM-MAGIC', quoted({ magic: 0xdeadbeef }))
  })

  it('is refused as another type, whatever that one holds (A2)', () => {
    const body = namedBody(Buffer.alloc(34), Buffer.alloc(34))
    refused('ZT-401-TPM-TYPE', quoted({ type: TAG.attestCertify, body }))
    refused('ZT-401-TPM-TYPE', quoted({ type: TAG.attestCreation, body }))
    refused('ZT-401-TPM-TYPE', quoted({ type: TAG.attestTime }))
  })

  const extras: Record<string, Uint8Array> = {
    'of another session': Buffer.alloc(32, 0xe6),
    'that is a prefix': EXTRA.subarray(0, 31),
    'that is longer': Buffer.concat([EXTRA, Buffer.of(0)]),
    'that is empty': new Uint8Array(),
  }
  for (const [what, extraData] of Object.entries(extras))
    it(`is refused with extra data ${what} (A3, A4)`, () => {
      refused('ZT-401-TPM-EXTRA', quoted({ extraData }))
    })

  it('is refused over other registers than were asked for (A5, A6, A7)', () => {
    refused('ZT-401-TPM-SELECTION', over({ bank: 'sha256', indices: [0, 7] }))
    refused('ZT-401-TPM-SELECTION', over({ bank: 'sha256', indices: [0, 1, 7, 16] }))
    refused('ZT-401-TPM-SELECTION', over({ bank: 'sha256', indices: [1, 2, 3] }))
    refused('ZT-401-TPM-SELECTION', over({ bank: 'sha1', indices: INDICES }))
    refused('ZT-401-TPM-SELECTION', over({ bank: 'sha384', indices: INDICES }))
    refused('ZT-401-TPM-SELECTION', over({ bank: 'sha256', indices: [] }))
    refused('ZT-401-TPM-SELECTION', over())
    refused('ZT-401-TPM-SELECTION', over({ bank: 'sha256', indices: INDICES }, { bank: 'sha1', indices: [] }))
  })

  it('is refused over nothing even if nothing was asked for', () => {
    const nothing = { bank: 'sha256' as const, indices: [] }
    const evidence = { ...quoted({ body: quoteBody({}, [nothing]) }), pcrs: {} }
    refused('ZT-401-TPM-SELECTION', evidence, { selection: nothing })
  })

  const values: Record<string, Readonly<Record<string, string>>> = {
    'of other registers': pcrValues([1, 2, 3]),
    'with one too many': pcrValues([0, 1, 7, 16]),
    'with one missing': pcrValues([0, 7]),
    'that differ': { ...PCRS, 7: '00'.repeat(32) },
    'of another bank': pcrValues(INDICES, 'sha384'),
    'in capitals': Object.fromEntries(Object.entries(PCRS).map(([key, value]) => [key, value.toUpperCase()])),
    'that are a prototype': Object.create(PCRS) as Record<string, string>,
  }
  for (const [what, pcrs] of Object.entries(values))
    it(`is refused with values ${what} (A5)`, () => {
      refused('ZT-401-TPM-DIGEST', { ...quoted(), pcrs })
    })

  it('is refused by any other key (A12)', () => {
    refused('ZT-401-TPM-SIG', quoted({}, softAk()))
  })

  it('is refused with any bit of it changed', () => {
    const { attest: bytes, signature } = quoted()
    const bent = Buffer.from(bytes)
    bent[bent.length - 1] = (bent.at(-1) ?? 0) ^ 1
    refused('ZT-401-TPM-SIG', { attest: bent, signature, pcrs: PCRS })
  })

  it('is refused with r or s of 0 or not below the order (A20)', () => {
    const order = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex')
    const one = Buffer.alloc(32, 1)
    for (const [r, s] of [
      [Buffer.alloc(32), one],
      [one, Buffer.alloc(32)],
      [order, one],
      [one, order],
      [new Uint8Array(), one],
    ] as const)
      refused('ZT-401-TPM-SIG', { ...quoted(), signature: ecdsaSignature(r, s) })
  })

  it('is refused in another scheme or hash than that of its key (A20)', () => {
    const numbers = Buffer.alloc(32, 1)
    refused('ZT-401-TPM-ALG', { ...quoted(), signature: ecdsaSignature(numbers, numbers, 'sha384') })
    refused('ZT-401-TPM-ALG', { ...quoted(), signature: ecdsaSignature(numbers, numbers, 'sha1') })
    refused('ZT-401-TPM-ALG', { ...quoted(), signature: rsaSignature(Buffer.alloc(256, 1)) })
  })

  it('is refused with trailing bytes, cut short or over its size (A19)', () => {
    refused('ZT-422-TPM', quoted({ trailing: Buffer.of(0) }))
    refused('ZT-422-TPM', quoted({ body: BODY.subarray(0, -1) }))
    refused('ZT-422-TPM', { ...quoted(), signature: Buffer.concat([quoted().signature, Buffer.of(0)]) })
    refused('ZT-422-TPM', { ...quoted(), attest: new Uint8Array() })
    refused('ZT-413-SIZE', { ...quoted(), attest: new Uint8Array(1025) })
    refused('ZT-413-SIZE', { ...quoted(), signature: new Uint8Array(1025) })
  })
})

describe('the clock of a TPM', () => {
  const before = { clock: 100_000, resetCount: 7, restartCount: 3, safe: true }
  const accepted = (change: Partial<AttestParts>, clock = before): void =>
    void verifyQuote(quoted(change), { ...EXPECTED, clock })

  it('goes on, restarts, and after a reset may have lost a little', () => {
    accepted({ clock: 100_000 })
    accepted({ clock: 100_001 })
    accepted({ restartCount: 4 })
    accepted({ resetCount: 8, restartCount: 0, clock: 99_000 })
  })

  it('may pass the end of an obfuscated counter', () => {
    accepted({ resetCount: 2 }, { ...before, resetCount: 0xffff_ffff })
  })

  const back: Record<string, Partial<AttestParts>> = {
    'its resets': { resetCount: 6, clock: 200_000 },
    'its restarts': { restartCount: 2, clock: 200_000 },
    'its time': { clock: 99_999 },
  }
  for (const [what, change] of Object.entries(back))
    it(`is refused when ${what} went back (A21)`, () => {
      refused('ZT-401-TPM-CLOCK', quoted(change), { clock: before })
    })

  it('is refused when it is not safe, only if the policy says so', () => {
    refused('ZT-401-TPM-UNSAFE', quoted({ safe: 0 }), { requireSafeClock: true })
    assert.equal(verifyQuote(quoted({ safe: 0 }), EXPECTED).clock.safe, false)
  })
})
