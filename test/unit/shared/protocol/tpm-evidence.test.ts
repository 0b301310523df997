// What a machine with a TPM may send: every blob has its bound, and nothing beside the known fields is taken.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { parseChallenge, parseChallengeRequest } from '#shared/protocol/admission.ts'
import {
  activationProof,
  MAX_EVENT_LOG_BYTES,
  tpmEvidenceField,
  tpmHelloField,
} from '#shared/protocol/tpm-evidence.ts'

const b64 = (length: number): string => encodeBase64url(new Uint8Array(length).fill(1))
const creation = { data: b64(100), attest: b64(150), signature: b64(72) }
const hello = {
  ek: { certificates: [b64(900)], public: b64(316) },
  ak: { public: b64(90), creation },
}
const evidence = {
  type: 'tpm',
  quote: b64(150),
  signature: b64(72),
  pcrs: { 0: '0'.repeat(64), 15: 'f'.repeat(64) },
}

describe('a hello', () => {
  it('is read, beside the name', () => {
    const request = parseChallengeRequest({ node: 'mini', tpm: hello }, '')
    assert.deepEqual(request.tpm?.ek.certificates, [b64(900)])
    assert.equal(parseChallengeRequest({ node: 'mini' }, '').tpm, undefined)
  })

  const bent: Record<string, object> = {
    'no certificate': { ek: { ...hello.ek, certificates: [] } },
    'five certificates': { ek: { ...hello.ek, certificates: Array(5).fill(b64(900)) } },
    'a certificate over 8 KiB': { ek: { ...hello.ek, certificates: [b64(8193)] } },
    'an EK over 1 KiB': { ek: { ...hello.ek, public: b64(1025) } },
    'an AK without its creation': { ak: { public: b64(90) } },
    'a name for the AK': { ak: { ...hello.ak, name: b64(34) } },
    'an attestation over 1 KiB': { ak: { ...hello.ak, creation: { ...creation, attest: b64(1025) } } },
  }
  for (const [what, change] of Object.entries(bent))
    it(`is refused with ${what}`, () =>
      assert.throws(() => tpmHelloField({ ...hello, ...change }, ''), { code: 'ZT-422-SCHEMA' }))
})

describe('evidence of a TPM', () => {
  it('is read at a renewal, and with all that it may have', () => {
    assert.equal(tpmEvidenceField(evidence, '').join, undefined)
    const all = {
      ...evidence,
      eventLog: b64(MAX_EVENT_LOG_BYTES),
      key: { public: b64(90), certify: b64(150), signature: b64(72) },
      join: { token: b64(32), activation: b64(32) },
    }
    assert.equal(tpmEvidenceField(all, '').join?.token, b64(32))
  })

  const bent: Record<string, object> = {
    'no quote': { quote: undefined },
    'an empty quote': { quote: '' },
    'a quote over 1 KiB': { quote: b64(1025) },
    'a signature over 1 KiB': { signature: b64(1025) },
    'an event log over its bound': { eventLog: b64(MAX_EVENT_LOG_BYTES + 1) },
    'a PCR 24': { pcrs: { 24: '0'.repeat(64) } },
    'a PCR -1': { pcrs: { '-1': '0'.repeat(64) } },
    'a PCR 07': { pcrs: { '07': '0'.repeat(64) } },
    'a SHA-1 value': { pcrs: { 0: '0'.repeat(40) } },
    'a value in capitals': { pcrs: { 0: 'F'.repeat(64) } },
    'a token without activation': { join: { token: b64(32) } },
    'an activation of 31 bytes': { join: { token: b64(32), activation: b64(31) } },
    'a level of its own choice': { lvl: 2 },
  }
  for (const [what, change] of Object.entries(bent))
    it(`is refused with ${what}`, () =>
      assert.throws(() => tpmEvidenceField({ ...evidence, ...change }, ''), { code: 'ZT-422-SCHEMA' }))
})

describe('a challenge for a TPM', () => {
  const challenge = {
    session: b64(900),
    nonce: b64(32),
    expires: 1,
    pcrs: { bank: 'sha256', indices: [0, 7], eventLog: false },
    credential: { blob: b64(66), secret: b64(258) },
  }
  it('says what to quote, and what to activate', () => {
    assert.deepEqual(parseChallenge(challenge, '').pcrs?.indices, [0, 7])
  })
  for (const [what, pcrs] of Object.entries({
    'the bank of SHA-1': { ...challenge.pcrs, bank: 'sha1' },
    'no register': { ...challenge.pcrs, indices: [] },
    'a register that can be reset': { ...challenge.pcrs, indices: [16] },
  }))
    it(`is refused for ${what}`, () =>
      assert.throws(() => parseChallenge({ ...challenge, pcrs }, ''), { code: 'ZT-422-SCHEMA' }))
})

describe('the proof of activation', () => {
  it('is for one secret and one transcript', () => {
    const [a, b] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)]
    const proofs = [activationProof(a, a), activationProof(a, b), activationProof(b, a)]
    assert.equal(new Set(proofs.map(encodeBase64url)).size, 3)
    assert.equal(proofs[0]?.length, 32)
  })
})
