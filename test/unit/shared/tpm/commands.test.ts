// What goes to a TPM and how its refusals are named, by the numbers of the specification.
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { describe, it } from 'node:test'
import {
  byPassword,
  byPolicy,
  encodeCall,
  handleIn,
  nothing,
  parseResponse,
  tpmCall,
  type TpmAuthorization,
  type TpmCall,
} from '#shared/tpm/call.ts'
import type { TpmAttribute } from '#shared/tpm/constants.ts'
import { makeCredential } from '#shared/tpm/credential.ts'
import { flushContext } from '#shared/tpm/object-calls.ts'
import { getProperties } from '#shared/tpm/platform-calls.ts'
import { endorsementPolicy } from '#shared/tpm/policy.ts'
import { attributeBits, type TpmPublic } from '#shared/tpm/public.ts'
import { mayTryAgain, responseCodeName } from '#shared/tpm/response-code.ts'
import {
  attestationKey,
  ENDORSEMENT_TEMPLATES,
  sealedData,
  signingKey,
  STORAGE_PRIMARY,
  withNonce,
} from '#shared/tpm/templates.ts'

const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex')

describe('a command', () => {
  const unsealing = (auth: TpmAuthorization): TpmCall<void> =>
    tpmCall({ command: 'unseal', handles: [0x80000001], auth: [auth], parse: nothing })

  it('without sessions is header, handles and parameters', () => {
    assert.equal(hex(encodeCall(getProperties(0x105))), '8001000000160000017a000000060000010500000100')
    assert.equal(hex(encodeCall(flushContext(0x80000000))), '80010000000e0000016580000000')
  })
  it('by password has the password in its authorisation', () => {
    const call = unsealing(byPassword(Buffer.from('pw')))
    assert.equal(hex(encodeCall(call)), '80020000001d0000015e800000010000000b400000090000000002' + '7077')
  })
  it('by policy keeps its session, which is flushed on every path', () => {
    const call = unsealing(byPolicy(0x03000000, new Uint8Array(16)))
    assert.equal(
      hex(encodeCall(call)),
      `80020000002b0000015e800000010000001903000000${'0010'}${'00'.repeat(16)}010000`,
    )
  })
})

describe('a response', () => {
  it('that is a refusal is told apart from one that is malformed', () => {
    const call = getProperties(0x105)
    const busy = Buffer.from('80010000000a00000922', 'hex')
    assert.deepEqual(parseResponse(busy, call), { kind: 'refused', code: 0x922 })
    assert.throws(() => parseResponse(Buffer.from('80020000000a00000922', 'hex'), call), {
      code: 'ZT-422-TPM',
    })
  })
  it('gives its handle even if the rest cannot be read', () => {
    const call = tpmCall({ command: 'load', returnsHandle: true, parse: () => undefined })
    assert.equal(handleIn(Buffer.from('80010000000e0000000080000001', 'hex'), call), 0x80000001)
    assert.equal(handleIn(Buffer.from('80010000000e0000010180000001', 'hex'), call), undefined)
    assert.equal(handleIn(Buffer.from('80010000000a00000000', 'hex'), call), undefined)
  })
})

describe('a response code', () => {
  const names: Record<number, string> = {
    0x100: 'TPM_RC_INITIALIZE',
    0x101: 'TPM_RC_FAILURE',
    0x902: 'TPM_RC_OBJECT_MEMORY',
    0x921: 'TPM_RC_LOCKOUT',
    0x1df: 'TPM_RC_INTEGRITY',
    0x99d: 'TPM_RC_POLICY_FAIL',
    0x9a2: 'TPM_RC_BAD_AUTH',
    0x98e: 'TPM_RC_AUTH_FAIL',
    0xffffffff: 'unknown',
  }
  for (const [code, name] of Object.entries(names))
    it(`0x${Number(code).toString(16)} is ${name}`, () => assert.equal(responseCodeName(Number(code)), name))
  it('is tried again for the three that say so, and no other', () => {
    const tried = Array.from({ length: 0x1000 }, (_, code) => code).filter((code) => mayTryAgain(code))
    assert.deepEqual(tried, [0x908, 0x90a, 0x922])
  })
})

describe('a template', () => {
  // TCG EK Credential Profile 2.5, B.3.3, B.3.4, B.4.5, B.6.2, B.6.3.
  const POLICY_A = '837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa'
  const POLICY_B_384 =
    'b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09699646150f9fc000f3f80e12'
  const POLICY_B_256 = 'ca3d0a99a2b93906f7a3342414efcfb3a385d44cd1fd459089d19b5071c0b7a0'
  const published = {
    'ecc-p256': [0x01c0000a, 0x000300b2, POLICY_A],
    'rsa-2048': [0x01c00002, 0x000300b2, POLICY_A],
    'ecc-p384-high': [0x01c00016, 0x000300f2, POLICY_B_384],
    'ecc-p256-high': [0x01c00014, 0x000300f2, POLICY_B_256],
    'rsa-2048-high': [0x01c00012, 0x000300f2, POLICY_B_256],
    'rsa-3072-high': [0x01c0001c, 0x000300f2, POLICY_B_384],
  } as const
  for (const [kind, [index, attributes, policy]] of Object.entries(published)) {
    it(`of ${kind} is the published one`, () => {
      const template = ENDORSEMENT_TEMPLATES.get(kind as keyof typeof published)
      assert.ok(template !== undefined)
      assert.equal(template.certificateIndex, index)
      assert.equal(attributeBits(template.area.attributes), attributes)
      assert.equal(hex(template.area.authPolicy), policy)
    })
  }

  it('of every kind is covered', () => {
    assert.deepEqual([...ENDORSEMENT_TEMPLATES.keys()].toSorted(), Object.keys(published).toSorted())
    assert.equal(hex(endorsementPolicy('sha256')), POLICY_A)
  })

  it('of an attestation key is restricted to signing, and of a signing key is not restricted', () => {
    for (const algorithm of ['ecdsa-p256', 'rsassa-2048'] as const)
      assert.equal(attributeBits(attestationKey(algorithm).attributes), 0x00050472)
    assert.equal(attributeBits(signingKey().attributes), 0x00040472)
    assert.equal(attributeBits(STORAGE_PRIMARY.attributes), 0x00030472)
  })

  it('of sealed data keeps them in the TPM, and cannot lock it', () => {
    assert.equal(attributeBits(sealedData().attributes), 0x00000452)
    assert.equal(sealedData().authPolicy.length, 0)
  })

  it("takes its maker's nonce, if that fits", () => {
    const area = ENDORSEMENT_TEMPLATES.get('rsa-2048')?.area
    assert.ok(area?.type === 'rsa')
    const own = withNonce(area, Uint8Array.of(1, 2))
    assert.ok(own.type === 'rsa' && own.unique.length === 256)
    assert.deepEqual([...own.unique.subarray(0, 3)], [1, 2, 0])
    assert.throws(() => withNonce(area, new Uint8Array(257)), { code: 'ZT-422-TPM' })
  })
})

describe('a credential', () => {
  const akName = new Uint8Array(34)
  const spki = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({
    format: 'der',
    type: 'spki',
  })
  const ek = { ...STORAGE_PRIMARY, unique: { x: spki.subarray(-64, -32), y: spki.subarray(-32) } }
  const without = (name: TpmAttribute): ReadonlySet<TpmAttribute> =>
    new Set([...ek.attributes].filter((other) => other !== name))
  const cannot: Record<string, TpmPublic> = {
    'is not restricted': { ...ek, attributes: without('restricted') },
    'does not decrypt': { ...ek, attributes: without('decrypt') },
    'has no cipher': { ...ek, symmetric: undefined },
    'has a cipher in another mode': { ...ek, symmetric: { algorithm: 'aes', keyBits: 128, mode: 'cbc' } },
    'is no point': { ...ek, unique: STORAGE_PRIMARY.unique },
    'is sealed data': sealedData(),
  }
  for (const [what, key] of Object.entries(cannot)) {
    it(`is not made for a key that ${what}`, () => {
      makeCredential({ ek, akName, secret: new Uint8Array(32) })
      assert.throws(() => makeCredential({ ek: key, akName, secret: new Uint8Array(32) }), {
        code: 'ZT-422-TPM',
      })
    })
  }

  for (const length of [0, 33]) {
    it(`is not made of ${length} bytes`, () => {
      assert.throws(() => makeCredential({ ek, akName, secret: new Uint8Array(length) }), {
        code: 'ZT-422-TPM',
      })
    })
  }
})
