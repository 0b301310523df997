// What a TPM sends, and what a stranger sends in its name: every parser answers with a value or with ZT-422-TPM, and what it
// accepts has one encoding.
import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { curveOf } from '#shared/x509/ec-spki.ts'
import { parseAttest, parseCreationData } from '#shared/tpm/attest.ts'
import * as attesting from '#shared/tpm/attest-calls.ts'
import { byPassword, encodeCall, parseResponse, type TpmCall } from '#shared/tpm/call.ts'
import { ATTRIBUTE_BIT, HANDLE, type TpmAttribute } from '#shared/tpm/constants.ts'
import { makeCredential } from '#shared/tpm/credential.ts'
import { certificatesInArea, certifiesKey } from '#shared/tpm/ek-area.ts'
import * as objects from '#shared/tpm/object-calls.ts'
import { encodePcrSelections, readPcrSelections, type PcrSelection } from '#shared/tpm/pcr.ts'
import * as platform from '#shared/tpm/platform-calls.ts'
import * as policies from '#shared/tpm/policy-calls.ts'
import {
  encodePublic,
  encodePublic2b,
  nameOf,
  parsePublic,
  parsePublic2b,
  type TpmPublic,
} from '#shared/tpm/public.ts'
import { parseTpmSignature, verifyTpmSignature } from '#shared/tpm/signature.ts'
import { keyOfPublic, spkiOfPublic } from '#shared/tpm/spki.ts'
import { attestationKey, ENDORSEMENT_TEMPLATES, sealedData, STORAGE_PRIMARY } from '#shared/tpm/templates.ts'
import { sized, TpmReader, TpmWriter } from '#shared/tpm/wire.ts'
import { refusalOr, RUNS } from '#test/support/fuzz.ts'

const CODE = ['ZT-422-TPM'] as const
const NONE = new Uint8Array()
const ECC = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const RSA = generateKeyPairSync('rsa', { modulusLength: 2048 })

/** Public areas with keys in them: what TPMs send. */
const AREAS: readonly TpmPublic[] = [
  ...[...ENDORSEMENT_TEMPLATES.values()].map(({ area }) => area),
  STORAGE_PRIMARY,
  attestationKey('rsassa-2048'),
  { ...sealedData(), authPolicy: new Uint8Array(32) },
  eccArea(),
  rsaArea(),
]

function eccArea(): TpmPublic {
  const spki = ECC.publicKey.export({ format: 'der', type: 'spki' })
  assert.equal(curveOf(spki), 'P-256')
  const unique = { x: new Uint8Array(spki.subarray(-64, -32)), y: new Uint8Array(spki.subarray(-32)) }
  return { ...attestationKey('ecdsa-p256'), type: 'ecc', unique } as TpmPublic
}

function rsaArea(): TpmPublic {
  const { n = '' } = RSA.publicKey.export({ format: 'jwk' })
  return {
    ...attestationKey('rsassa-2048'),
    unique: new Uint8Array(Buffer.from(n, 'base64url')),
  } as TpmPublic
}

const CLOCK = new TpmWriter().u64(5n).u32(1).u32(0).u8(1).u64(7n).done()

function attest(type: number, body: Uint8Array): Uint8Array {
  return new TpmWriter()
    .u32(0xff544347)
    .u16(type)
    .sized(new Uint8Array(34))
    .sized(new Uint8Array(32))
    .bytes(CLOCK)
    .bytes(body)
    .done()
}

const SELECTION = encodePcrSelections([{ bank: 'sha256', indices: [0, 7, 16] }])
const ATTESTS: readonly Uint8Array[] = [
  attest(0x8018, new TpmWriter().bytes(SELECTION).sized(new Uint8Array(32)).done()),
  attest(0x8017, new TpmWriter().sized(new Uint8Array(34)).sized(new Uint8Array(34)).done()),
  attest(0x801a, new TpmWriter().sized(new Uint8Array(34)).sized(new Uint8Array(32)).done()),
  attest(0x8014, new Uint8Array(20)),
]
const CREATION = new TpmWriter()
  .bytes(SELECTION)
  .sized(new Uint8Array(32))
  .u8(1)
  .u16(0x000b)
  .sized(new Uint8Array(34))
  .sized(new Uint8Array(34))
  .sized(NONE)
  .done()
const ECDSA = new TpmWriter()
  .u16(0x18)
  .u16(0xb)
  .sized(new Uint8Array(32).fill(1))
  .sized(new Uint8Array(32).fill(1))
  .done()
const RSASSA = new TpmWriter().u16(0x14).u16(0xb).sized(new Uint8Array(256).fill(1)).done()

/** The whole of `bytes` as a list of selections; as part of a larger structure it has no end of its own. */
function selectionsIn(bytes: Uint8Array): readonly PcrSelection[] {
  const reader = new TpmReader(bytes, 'fuzz')
  const selections = readPcrSelections(reader)
  reader.end()
  return selections
}

/** Bytes at large, or good ones with a few octets set, cut out or put in. */
function hostile(...good: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> {
  const edit = fc.record({
    at: fc.nat(),
    cut: fc.nat({ max: 3 }),
    put: fc.uint8Array({ maxLength: 3 }),
  })
  const bent = fc.tuple(fc.constantFrom(...good), fc.array(edit, { minLength: 1, maxLength: 4 }))
  return fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    bent.map(([bytes, edits]) =>
      edits.reduce((now, { at, cut, put }) => {
        const start = at % (now.length + 1)
        return new Uint8Array([...now.subarray(0, start), ...put, ...now.subarray(start + cut)])
      }, bytes),
    ),
  )
}

describe('tpm parsers', () => {
  it('accept a public area only in its one encoding, and make a key of it or refuse', () => {
    const input = hostile(...AREAS.map(encodePublic))
    fc.assert(
      fc.property(input, (bytes) => {
        const area = refusalOr(() => parsePublic(bytes), CODE)
        if (typeof area === 'string') return
        assert.deepEqual(encodePublic(area), bytes)
        assert.deepEqual(
          Buffer.from(nameOf(area).subarray(2)),
          createHash(area.nameAlg).update(bytes).digest(),
        )
        const spki = refusalOr(() => spkiOfPublic(area), CODE)
        if (typeof spki !== 'string')
          assert.deepEqual(new Uint8Array(keyOfPublic(area).export({ format: 'der', type: 'spki' })), spki)
      }),
      RUNS,
    )
  })

  it('accept every area that was encoded, with any attributes', () => {
    const names = fc.subarray(Object.keys(ATTRIBUTE_BIT) as TpmAttribute[])
    fc.assert(
      fc.property(fc.constantFrom(...AREAS), names, (area, attributes) => {
        const changed = { ...area, attributes: new Set(attributes) }
        const back = parsePublic2b(encodePublic2b(changed))
        assert.deepEqual([...back.attributes].toSorted(), attributes.toSorted())
        assert.deepEqual(encodePublic(back), encodePublic(changed))
      }),
      RUNS,
    )
  })

  const parsers: Record<string, [(bytes: Uint8Array) => unknown, readonly Uint8Array[]]> = {
    TPM2B_PUBLIC: [parsePublic2b, AREAS.map(encodePublic2b)],
    TPMS_ATTEST: [parseAttest, ATTESTS],
    TPMS_CREATION_DATA: [parseCreationData, [CREATION]],
    TPMT_SIGNATURE: [parseTpmSignature, [ECDSA, RSASSA]],
    TPML_PCR_SELECTION: [selectionsIn, [SELECTION]],
    'an area of certificates': [
      certificatesInArea,
      [sized(SELECTION), new Uint8Array([0x30, 3, 1, 2, 3, 0xff])],
    ],
    'a certificate': [
      (bytes) => certifiesKey(bytes, eccArea()),
      [ECC.publicKey.export({ format: 'der', type: 'spki' })],
    ],
  }
  for (const [what, [parse, good]] of Object.entries(parsers)) {
    it(`take or refuse ${what}, and never with a byte after it`, () => {
      fc.assert(
        fc.property(hostile(...good), (bytes) => {
          const value = refusalOr(() => parse(bytes), CODE)
          assert.notEqual(value, undefined)
        }),
        RUNS,
      )
    })
  }

  for (const [what, [parse, good]] of Object.entries(parsers).slice(0, 5)) {
    it(`refuse ${what} with a byte too many or too few`, () => {
      for (const bytes of good) {
        parse(bytes)
        for (let length = 0; length < bytes.length; length += 1) {
          // The body of an unknown attestation has no length of its own: it may end anywhere.
          if (bytes === ATTESTS[3] && length >= bytes.length - 20) break
          assert.throws(() => parse(bytes.subarray(0, length)), { code: 'ZT-422-TPM' })
        }
        if (bytes !== ATTESTS[3])
          assert.throws(() => parse(new Uint8Array([...bytes, 0])), { code: 'ZT-422-TPM' })
      }
    })
  }

  it('read back every selection of registers', () => {
    const indices = fc.uniqueArray(fc.nat({ max: 23 })).map((all) => all.toSorted((a, b) => a - b))
    const banks = fc.uniqueArray(fc.constantFrom('sha1', 'sha256', 'sha384', 'sha512'))
    fc.assert(
      fc.property(banks, indices, (names, registers) => {
        const selections = names.map((bank) => ({ bank, indices: registers }))
        assert.deepEqual(selectionsIn(encodePcrSelections(selections)), selections)
      }),
      RUNS,
    )
  })

  it('read numbers as they were written', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.nat({ max: 0xffff }), (large, small) => {
        const reader = new TpmReader(new TpmWriter().u64(large).u16(small).done(), 'fuzz')
        assert.equal(reader.u64(), large)
        assert.equal(reader.u16(), small)
        reader.end()
      }),
      RUNS,
    )
  })
})

describe('tpm signatures', () => {
  const data = Buffer.from('attested')
  const area = eccArea()

  function ecdsa(): Uint8Array {
    const raw = sign('sha256', data, { key: ECC.privateKey, dsaEncoding: 'ieee-p1363' })
    return new TpmWriter().u16(0x18).u16(0xb).sized(raw.subarray(0, 32)).sized(raw.subarray(32)).done()
  }
  const good = ecdsa()
  const rsa = new TpmWriter()
    .u16(0x14)
    .u16(0xb)
    .sized(sign('sha256', data, RSA.privateKey))
    .done()

  it('verify as they were made', () => {
    assert.ok(verifyTpmSignature(area, parseTpmSignature(good), data))
    assert.ok(verifyTpmSignature(rsaArea(), parseTpmSignature(rsa), data))
  })

  it('verify in no changed form, and the check throws nothing', () => {
    const flip = fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 }))
    fc.assert(
      fc.property(fc.constantFrom(good, rsa), flip, (bytes, [at, by]) => {
        const bent = new Uint8Array(bytes)
        bent[at % bent.length] = (bent[at % bent.length] ?? 0) ^ by
        const signature = refusalOr(() => parseTpmSignature(bent), CODE)
        if (typeof signature === 'string') return
        assert.equal(verifyTpmSignature(bytes === good ? area : rsaArea(), signature, data), false)
      }),
      RUNS,
    )
  })

  it('are checked against any public area without a throw', () => {
    fc.assert(
      fc.property(hostile(...AREAS.map(encodePublic)), hostile(good, rsa), (publicBytes, bytes) => {
        const key = refusalOr(() => parsePublic(publicBytes), CODE)
        const signature = refusalOr(() => parseTpmSignature(bytes), CODE)
        if (typeof key === 'string' || typeof signature === 'string') return
        assert.equal(typeof verifyTpmSignature(key, signature, Buffer.from('other data')), 'boolean')
      }),
      RUNS,
    )
  })
})

describe('tpm credentials', () => {
  it('are made for a key that can open them, or refused', () => {
    const eks = hostile(...[...AREAS, { ...rsaArea(), ...pick('rsa-2048') } as TpmPublic].map(encodePublic))
    fc.assert(
      fc.property(eks, (bytes) => {
        const ek = refusalOr(() => parsePublic(bytes), CODE)
        if (typeof ek === 'string') return
        const akName = nameOf(eccArea())
        refusalOr(() => makeCredential({ ek, akName, secret: new Uint8Array(20) }), CODE)
      }),
      RUNS,
    )
  })

  function pick(kind: 'rsa-2048'): Pick<TpmPublic, 'attributes'> & { symmetric: unknown; scheme: undefined } {
    const area = ENDORSEMENT_TEMPLATES.get(kind)?.area
    assert.ok(area !== undefined)
    return { attributes: area.attributes, symmetric: area.symmetric, scheme: undefined }
  }
})

describe('tpm responses', () => {
  const blob = { public: encodePublic2b(eccArea()), private: sized(new Uint8Array(64)) }
  const creation = { data: CREATION, hash: new Uint8Array(32), ticket: new Uint8Array(8) }
  const extraData = new Uint8Array(32)
  const selection = { bank: 'sha256', indices: [0, 7, 16] } as const
  const nvArea = { index: 0x1c00002, bytes: 32, attributes: 1 << 18 }
  const calls: readonly TpmCall<unknown>[] = [
    objects.createPrimary({ hierarchy: HANDLE.owner, password: NONE, area: STORAGE_PRIMARY }),
    objects.create({ parent: 1, area: STORAGE_PRIMARY }),
    objects.load(1, blob),
    objects.unseal(1),
    objects.flushContext(1),
    objects.contextSave(1),
    objects.contextLoad(extraData),
    attesting.quote({ ak: 1, extraData, selection }),
    attesting.certify({ ak: 1, object: 2, extraData }),
    attesting.certifyCreation({ ak: 1, object: 2, extraData }, creation),
    attesting.activateCredential({ ak: 1, ek: 2, ekAuth: byPassword(), blob: NONE, encryptedSecret: NONE }),
    attesting.sign(1, extraData),
    policies.startPolicySession('sha256', extraData),
    policies.policyEndorsement(1, NONE),
    policies.policyOr(1, [extraData]),
    platform.startup(),
    platform.getHandles(0x0100_0000),
    platform.getProperties(0x100),
    platform.nvReadPublic(nvArea.index),
    platform.nvRead({ area: nvArea, offset: 0, length: 32, ownerPassword: NONE }),
    platform.pcrRead(selection),
  ]

  /** A response with a right header for `call` and any body, so that the inside is reached. */
  function respond(call: TpmCall<unknown>, handle: number, body: Uint8Array): Uint8Array {
    const sessions = call.auth.length
    const inner = new TpmWriter()
    if (call.returnsHandle) inner.u32(handle)
    if (sessions > 0) inner.u32(body.length)
    inner.bytes(body)
    for (let at = 0; at < sessions; at += 1) inner.u16(0).u8(0).u16(0)
    const rest = inner.done()
    return new TpmWriter()
      .u16(sessions > 0 ? 0x8002 : 0x8001)
      .u32(10 + rest.length)
      .u32(0)
      .bytes(rest)
      .done()
  }

  for (const call of calls) {
    it(`to ${call.command} is read or refused`, () => {
      const parts = [...AREAS.map(encodePublic2b), ...ATTESTS.map(sized), ECDSA, SELECTION, sized(extraData)]
      const body = fc.array(fc.oneof(fc.constantFrom(...parts), hostile(...parts)), { maxLength: 5 })
      const handle = fc.constantFrom(0x8000_0000, 0x0300_0000, 0x8100_0001, 0)
      fc.assert(
        fc.property(body, handle, fc.boolean(), (pieces, at, headed) => {
          const bytes = new Uint8Array(Buffer.concat(pieces))
          refusalOr(() => parseResponse(headed ? respond(call, at, bytes) : bytes, call), CODE)
        }),
        RUNS,
      )
    })
  }

  it('are asked for by commands that say their own length', () => {
    for (const call of calls) {
      const bytes = Buffer.from(encodeCall(call))
      assert.equal(bytes.readUInt32BE(2), bytes.length)
      assert.equal(bytes.readUInt16BE(0), call.auth.length > 0 ? 0x8002 : 0x8001)
    }
  })
})
