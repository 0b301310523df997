// AKs and certified keys: what a key must be, what it must not be, and that a secret opens only for who holds both.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { requireActivation } from '#hub/attestation/activation.ts'
import { verifyAk } from '#hub/attestation/attestation-key.ts'
import { verifyCertifiedKey } from '#hub/attestation/certified-key.ts'
import type { CertifiedKeyEvidence } from '#hub/attestation/evidence.ts'
import type { ErrorCode } from '#shared/errors/codes.ts'
import { activationProof } from '#shared/protocol/tpm-evidence.ts'
import { TAG, type TpmAttribute } from '#shared/tpm/constants.ts'
import { digest } from '#shared/tpm/hash.ts'
import { encodePublic2b, nameOf } from '#shared/tpm/public.ts'
import { sealedData, signingKey } from '#shared/tpm/templates.ts'
import { TpmWriter } from '#shared/tpm/wire.ts'
import {
  attest,
  attributes,
  namedBody,
  pointOf,
  signAttest,
  softAk,
  softRsaAk,
  type AttestParts,
} from '#test/support/forged-tpm.ts'
import { ecKeys, weakModulus } from '#test/support/vendor-ca.ts'

const AK = softAk()
const EXTRA = Buffer.alloc(32, 0xe5)

describe('an attestation key', () => {
  it('is accepted on P-256, P-384 and RSA, with a name that is computed here', () => {
    const p384 = ecKeys('P-384')
    const wide = {
      curve: 'P-384',
      unique: pointOf(p384.spki),
      scheme: { algorithm: 'ecdsa', hash: 'sha384' },
    } as const
    for (const ak of [AK, softRsaAk(), softAk(wide)])
      assert.deepEqual(verifyAk({ public: ak.public }).name, nameOf(ak.area))
  })

  const missing: TpmAttribute[] = ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'restricted', 'sign']
  for (const name of missing)
    it(`is refused without ${name} (A8, A9, A10)`, () => {
      const ak = softAk({ attributes: attributes({ without: [name] }) })
      assert.throws(() => verifyAk({ public: ak.public }), {
        code: 'ZT-401-TPM-AK',
        details: { reason: name },
      })
    })
  for (const name of ['decrypt', 'encryptedDuplication', 'x509sign'] as const)
    it(`is refused with ${name}`, () => {
      const ak = softAk({ attributes: attributes({ and: [name] }) })
      assert.throws(() => verifyAk({ public: ak.public }), {
        code: 'ZT-401-TPM-AK',
        details: { reason: name },
      })
    })

  const aes = { algorithm: 'aes', keyBits: 128, mode: 'cfb' } as const
  const forms: Record<string, readonly [string, () => Uint8Array]> = {
    'without a scheme of its own': ['scheme', () => softAk({ scheme: undefined }).public],
    'that signs anonymously or by Schnorr': [
      'scheme',
      () => softAk({ scheme: { algorithm: 'ecschnorr', hash: 'sha256' } }).public,
    ],
    'that signs with SHA-1': ['hash', () => softAk({ scheme: { algorithm: 'ecdsa', hash: 'sha1' } }).public],
    'that is named by SHA-1': ['name-hash', () => softAk({ nameAlg: 'sha1' }).public],
    'with a cipher': ['symmetric', () => softAk({ symmetric: aes }).public],
    'of RSA with 1024 bits': ['key-bits', () => softRsaAk({}, 1024).public],
    'that can be factored': ['weak-key', () => softRsaAk({ unique: weakModulus() }).public],
    'that is sealed data': [
      'type',
      () => encodePublic2b({ ...sealedData(), attributes: attributes({}), unique: new Uint8Array(32) }),
    ],
  }
  for (const [what, [reason, make]] of Object.entries(forms))
    it(`is refused: one ${what}`, () => {
      assert.throws(() => verifyAk({ public: make() }), { code: 'ZT-401-TPM-AK', details: { reason } })
    })

  const malformed: Record<string, () => Uint8Array> = {
    'with trailing bytes': () => Buffer.concat([AK.public, Buffer.of(0)]),
    'with a length that is too large': () => Buffer.concat([Buffer.of(0xff, 0xff), AK.public.subarray(2)]),
    'with a length of zero': () => Buffer.of(0, 0),
    'that is no point of its curve': () =>
      softAk({ unique: { x: Buffer.alloc(32, 1), y: Buffer.alloc(32, 1) } }).public,
    'with an RSA exponent of 3': () => softRsaAk({ exponent: 3 }).public,
  }
  for (const [what, make] of Object.entries(malformed))
    it(`is refused ${what} (A19)`, () => {
      assert.throws(() => verifyAk({ public: make() }), { code: 'ZT-422-TPM' })
    })

  it('is refused over 1024 bytes before it is read', () => {
    assert.throws(() => verifyAk({ public: new Uint8Array(1025) }), { code: 'ZT-413-SIZE' })
  })
})

describe('the evidence of creation', () => {
  const name = nameOf(AK.area)
  // TPML_PCR_SELECTION, pcrDigest, locality, parentNameAlg, parentName, parentQualifiedName, outsideInfo: all empty.
  const data = new TpmWriter().u32(0).u16(0).u8(1).u16(0x000b).u16(0).u16(0).u16(0).done()
  const made = (change: Partial<AttestParts> = {}, key = AK.privateKey): Parameters<typeof verifyAk>[0] => {
    const body = namedBody(name, digest('sha256', data))
    const bytes = attest({ type: TAG.attestCreation, extraData: EXTRA, body, ...change })
    return { public: AK.public, creation: { data, attest: bytes, signature: signAttest(key, bytes) } }
  }
  const refused = (code: ErrorCode, evidence: Parameters<typeof verifyAk>[0]): void =>
    assert.throws(() => verifyAk(evidence, EXTRA), { code })

  it('is accepted when it is that of the AK', () => {
    assert.deepEqual(verifyAk(made(), EXTRA).name, name)
  })

  it('is refused when it is that of anything else', () => {
    refused('ZT-401-TPM-CREATION', made({ body: namedBody(Buffer.alloc(34), digest('sha256', data)) }))
    refused('ZT-401-TPM-CREATION', made({ body: namedBody(name, Buffer.alloc(32)) }))
    refused('ZT-401-TPM-EXTRA', made({ extraData: Buffer.alloc(32) }))
    refused('ZT-401-TPM-SIG', made({}, softAk().privateKey))
    refused('ZT-401-TPM-MAGIC', made({ magic: 1 }))
  })
})

describe('an activation', () => {
  const secret = Buffer.alloc(32, 0x5e)
  it('holds with the secret over this transcript, and with nothing else', () => {
    const asked = { secret, transcript: EXTRA }
    requireActivation(asked, activationProof(secret, EXTRA))
    const wrong = [
      activationProof(Buffer.alloc(32), EXTRA),
      activationProof(secret, Buffer.alloc(32)),
      activationProof(secret, EXTRA).subarray(0, 31),
      new Uint8Array(),
    ]
    for (const proof of wrong)
      assert.throws(() => requireActivation(asked, proof), { code: 'ZT-401-TPM-ACTIVATION' })
  })
})

describe('a certified key', () => {
  const svid = ecKeys()
  const area = { ...signingKey(), unique: pointOf(svid.spki) }
  const expected = { ak: { public: AK.area }, extraData: EXTRA, spki: svid.spki }
  const certified = (
    key = area,
    change: Partial<AttestParts> = {},
    by = AK.privateKey,
  ): CertifiedKeyEvidence => {
    const body = namedBody(nameOf(key), Buffer.alloc(34))
    const bytes = attest({ type: TAG.attestCertify, extraData: EXTRA, body, ...change })
    return { public: encodePublic2b(key), attest: bytes, signature: signAttest(by, bytes) }
  }
  const refused = (evidence: CertifiedKeyEvidence, code: ErrorCode, reason?: string): void =>
    assert.throws(() => verifyCertifiedKey(evidence, expected), {
      code,
      ...(reason !== undefined && { details: { reason } }),
    })

  it('is accepted when it cannot leave its TPM', () => {
    verifyCertifiedKey(certified(), expected)
  })

  it('is the key that the SVID is asked for (A23, A24)', () => {
    refused(certified({ ...area, unique: pointOf(ecKeys().spki) }), 'ZT-401-TPM-CERTIFY', 'key')
  })

  it('is the one that was certified, by name', () => {
    const other = { ...area, attributes: new Set(area.attributes).add('userWithAuth').add('adminWithPolicy') }
    refused({ ...certified(other), public: encodePublic2b(area) }, 'ZT-401-TPM-CERTIFY', 'name')
  })

  for (const name of ['fixedTPM', 'fixedParent', 'sensitiveDataOrigin', 'sign'] as const)
    it(`is refused without ${name}`, () => {
      const kept = new Set([...area.attributes].filter((one) => one !== name))
      refused(certified({ ...area, attributes: kept }), 'ZT-401-TPM-CERTIFY', name)
    })
  for (const name of ['restricted', 'decrypt', 'encryptedDuplication', 'x509sign'] as const)
    it(`is refused with ${name}`, () => {
      refused(
        certified({ ...area, attributes: new Set([...area.attributes, name]) }),
        'ZT-401-TPM-CERTIFY',
        name,
      )
    })

  it('is refused out of another session, by another AK, from outside or as another type (A1, A2, A3, A24)', () => {
    refused(certified(area, { extraData: Buffer.alloc(32) }), 'ZT-401-TPM-EXTRA')
    refused(certified(area, {}, softAk().privateKey), 'ZT-401-TPM-SIG')
    refused(certified(area, { magic: 0 }), 'ZT-401-TPM-MAGIC')
    refused(certified(area, { type: TAG.attestCreation }), 'ZT-401-TPM-TYPE')
  })
})
