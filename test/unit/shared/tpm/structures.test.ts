// The structures of a TPM, by vectors: made by swtpm 0.7.1, named by tpm2-tools 5.4. Each field that means something is bent once.
import assert from 'node:assert/strict'
import { constants, createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { describe, it } from 'node:test'
import { parseAttest, parseCreationData } from '#shared/tpm/attest.ts'
import { certificatesInArea, certifiesKey } from '#shared/tpm/ek-area.ts'
import type { TpmHash } from '#shared/tpm/hash.ts'
import { encodePcrSelections, pcrDigest, readPcrSelections } from '#shared/tpm/pcr.ts'
import {
  encodePublic,
  encodePublic2b,
  nameOf,
  parsePublic,
  parsePublic2b,
  type EccPublic,
  type RsaPublic,
} from '#shared/tpm/public.ts'
import { parseTpmSignature, verifyTpmSignature, type TpmSignature } from '#shared/tpm/signature.ts'
import { spkiOfPublic } from '#shared/tpm/spki.ts'
import { attestationKey } from '#shared/tpm/templates.ts'
import { TpmReader } from '#shared/tpm/wire.ts'

const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex.replaceAll(/\s/g, ''), 'hex'))
const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex')

const PUBLIC = bytes(`0058 0023 000b 00050472 0000 0010 0018000b 0003 0010
  0020 318673198b7de555e70d27a17ee41e89195a9acf274cd0099e964bcfda9b8f9f
  0020 73c525ddb5d935cd34452b7f51c7e65e4eca8bc4f9c110b1418d328b3b4e53e7`)
const NAME = '000bb4b45f2227ffa39a6cea8bfceef419df1b39ca8885c7eefb85f6f5d9489ce6ef'
const QUOTE = bytes(`ff544347 8018 0022 000b751b7ffaffd0efb0a158fd22a89d2cd7b162b8d26fc00f7c4152c5e258ca042f
  0020 0707070707070707070707070707070707070707070707070707070707070707
  000000000000033e 00000002 00000000 01 2019102300163636
  00000001 000b 03 810001 0020 2ea9ab9198d1638007400cd2c3bef1cc745b864b76011a0e1bc52180ac6452d4`)
const QUOTE_SIGNATURE = bytes(`0018 000b
  0020 18bb491fe9b713b7e79afcf80a0cf8e4d6914d083f8d33d2ea89e7e2b5e7c0c6
  0020 176d33ffb41c4d4fdad0d4623270cde82c19c76ca25ad891d700a750fc90cc0e`)
const CREATION =
  bytes(`ff544347 801a 0022 000b751b7ffaffd0efb0a158fd22a89d2cd7b162b8d26fc00f7c4152c5e258ca042f 0000
  0000000000000334 00000002 00000000 01 2019102300163636
  0022 000bb4b45f2227ffa39a6cea8bfceef419df1b39ca8885c7eefb85f6f5d9489ce6ef
  0020 060c0bb66a81820f43b4f631f562900009a991a391ee31f9fc2b919bf909c947`)
const CREATION_SIGNATURE = bytes(`0018 000b
  0020 6b482e5d74e9e74fc58b58118a5acb4ad102e014eaf060d16ebd5348aced60fd
  0020 64317566bc2bb3dbfb7db4bdfc5755a05517d2439a37092feee9ae27c77bea72`)
const CREATION_DATA =
  bytes(`00000000 0020 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 01 000b
  0022 000be034fc5950014a01ffcf60662d4537b3ce311ffab75f769002d2af55c05ffb28
  0022 000b7e3bb0ca4295377723578a9959fe7dc818ab57d9e3660893b26a4ac3c6b5d00c 0000`)

function key(): EccPublic {
  const area = parsePublic2b(PUBLIC)
  assert.ok(area.type === 'ecc')
  return area
}

function rsaKey(publicKey: KeyObject): RsaPublic {
  const area = attestationKey('rsassa-2048')
  assert.ok(area.type === 'rsa')
  return { ...area, unique: Buffer.from(publicKey.export({ format: 'jwk' }).n ?? '', 'base64url') }
}

/** A P-256 key whose x begins with a zero octet: about one in 256. */
function spkiWithLeadingZero(): Uint8Array {
  for (;;) {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const spki = publicKey.export({ format: 'der', type: 'spki' })
    if (spki.at(-64) === 0) return new Uint8Array(spki)
  }
}

/** `value` with the octets at `at` replaced. */
function bent(value: Uint8Array, at: number, by: string): Uint8Array {
  const copy = new Uint8Array(value)
  copy.set(bytes(by), at)
  return copy
}

describe('a public area', () => {
  it('is read field by field, and named as the TPM names it', () => {
    const area = key()
    assert.deepEqual([...area.attributes].toSorted(), [...attestationKey('ecdsa-p256').attributes].toSorted())
    assert.deepEqual(area.scheme, { algorithm: 'ecdsa', hash: 'sha256' })
    assert.equal(area.symmetric, undefined)
    assert.equal(hex(nameOf(area)), NAME)
    assert.deepEqual(encodePublic2b(area), PUBLIC)
  })

  const refused: Record<string, Uint8Array> = {
    'the type of a symmetric key': bent(PUBLIC, 2, '0025'),
    'an unknown nameAlg': bent(PUBLIC, 4, '0012'),
    'no nameAlg': bent(PUBLIC, 4, '0010'),
    'a reserved attribute': bent(PUBLIC, 6, '80050472'),
    'the lowest reserved attribute': bent(PUBLIC, 6, '00050473'),
    'an unknown scheme': bent(PUBLIC, 14, '001b'),
    'an unknown hash of the scheme': bent(PUBLIC, 16, '0027'),
    'an unknown curve': bent(PUBLIC, 18, '0005'),
    'an unknown derivation': bent(PUBLIC, 20, '0018'),
    'a coordinate longer than any': bent(PUBLIC, 22, '0031'),
    'a size beyond the end': bent(PUBLIC, 0, '0059'),
    'a size before the end': bent(PUBLIC, 0, '0057'),
    'trailing bytes': new Uint8Array([...PUBLIC, 0]),
    nothing: new Uint8Array(),
    'more than a TPM sends': new Uint8Array(4097),
  }
  for (const [what, input] of Object.entries(refused))
    it(`is refused: ${what}`, () => assert.throws(() => parsePublic2b(input), { code: 'ZT-422-TPM' }))

  it('is refused as an rsa key of another length than it says', () => {
    const rsa = encodePublic({
      ...attestationKey('rsassa-2048'),
      type: 'rsa',
      unique: new Uint8Array(256),
    } as never)
    parsePublic(rsa)
    const at = rsa.length - 256 - 8
    assert.throws(() => parsePublic(bent(rsa, at, '0400')), { code: 'ZT-422-TPM' })
    assert.throws(() => parsePublic(bent(rsa, at, '0801')), { code: 'ZT-422-TPM' })
  })
})

describe('a public key', () => {
  it('is the same key with leading zeros left out', () => {
    const full = spkiWithLeadingZero()
    const unique = { x: full.subarray(-63, -32), y: full.subarray(-32) }
    assert.deepEqual(spkiOfPublic({ ...key(), unique }), full)
  })

  const refused: Record<string, Partial<EccPublic>> = {
    'a point that is not on the curve': {
      unique: { x: new Uint8Array(32).fill(1), y: new Uint8Array(32).fill(1) },
    },
    'no point at all': { unique: { x: new Uint8Array(), y: new Uint8Array() } },
    'a coordinate longer than its curve': { unique: { x: new Uint8Array(33), y: new Uint8Array(32) } },
    'a point of another curve': { curve: 'P-384' },
  }
  for (const [what, change] of Object.entries(refused))
    it(`is refused: ${what}`, () =>
      assert.throws(() => spkiOfPublic({ ...key(), ...change }), { code: 'ZT-422-TPM' }))

  const modulus = new Uint8Array(256).fill(0xff)
  const rsa = {
    ...attestationKey('rsassa-2048'),
    type: 'rsa',
    keyBits: 2048,
    exponent: 0,
    unique: modulus,
  } as const
  const bad: Record<string, object> = {
    'an even modulus': { unique: new Uint8Array([...modulus.subarray(1), 0xfe]) },
    'a modulus that is too short': { unique: modulus.subarray(1) },
    'a modulus with a leading zero': { unique: new Uint8Array([0, ...modulus.subarray(1)]) },
    'the exponent 3': { exponent: 3 },
  }
  for (const [what, change] of Object.entries(bad)) {
    it(`of rsa is refused: ${what}`, () => {
      spkiOfPublic(rsa as never)
      assert.throws(() => spkiOfPublic({ ...rsa, ...change } as never), { code: 'ZT-422-TPM' })
    })
  }
})

describe('an attestation', () => {
  it('is read field by field', () => {
    const quote = parseAttest(QUOTE)
    assert.deepEqual([quote.magic, quote.type], [0xff544347, 0x8018])
    assert.equal(hex(quote.extraData), '07'.repeat(32))
    assert.deepEqual(quote.clockInfo, { clock: 0x33e, resetCount: 2, restartCount: 0, safe: true })
    assert.equal(quote.firmwareVersion, 0x2019102300163636n)
    assert.ok(quote.attested.kind === 'quote')
    assert.deepEqual(quote.attested.pcrSelect, [{ bank: 'sha256', indices: [0, 7, 16] }])
    const zeros = [0, 7, 16].map(() => new Uint8Array(32))
    assert.deepEqual(quote.attested.pcrDigest, pcrDigest(zeros, 'sha256'))
  })

  it('of a creation names the key and the digest of its creation data', () => {
    const { attested } = parseAttest(CREATION)
    assert.ok(attested.kind === 'creation')
    assert.equal(hex(attested.objectName), NAME)
    assert.equal(hex(attested.creationHash), createHash('sha256').update(CREATION_DATA).digest('hex'))
    const data = parseCreationData(CREATION_DATA)
    assert.deepEqual([data.locality, data.parentNameAlg, data.pcrSelect], [1, 'sha256', []])
  })

  it('is not judged: another magic and an unknown type come back as they are', () => {
    assert.equal(parseAttest(bent(QUOTE, 0, 'deadbeef')).magic, 0xdeadbeef)
    const other = parseAttest(bent(QUOTE, 4, '8014'))
    assert.deepEqual([other.type, other.attested.kind], [0x8014, 'other'])
  })

  const refused: Record<string, Uint8Array> = {
    'a quote that says it is a certification': bent(QUOTE, 4, '8017'),
    'a clock beyond counting': bent(QUOTE, 76, '0020000000000000'),
    'a clock neither safe nor unsafe': bent(QUOTE, 92, '02'),
    'a signer longer than any name': bent(QUOTE, 6, '0043'),
    'a bank twice': bytes(`${hex(QUOTE.subarray(0, 101))}00000002000b03810001000b038100010000`),
    'more banks than there are': bent(QUOTE, 101, '00000011'),
    'a bitmap over 32 registers': bent(QUOTE, 107, '05'),
  }
  for (const [what, input] of Object.entries(refused))
    it(`is refused: ${what}`, () => assert.throws(() => parseAttest(input), { code: 'ZT-422-TPM' }))
})

describe('a signature', () => {
  it('verifies over what it is of, by the key alone', () => {
    assert.ok(verifyTpmSignature(key(), parseTpmSignature(QUOTE_SIGNATURE), QUOTE))
    assert.ok(verifyTpmSignature(key(), parseTpmSignature(CREATION_SIGNATURE), CREATION))
    assert.equal(verifyTpmSignature(key(), parseTpmSignature(QUOTE_SIGNATURE), CREATION), false)
    assert.equal(verifyTpmSignature(key(), parseTpmSignature(QUOTE_SIGNATURE), bent(QUOTE, 0, '00')), false)
  })

  const order = 'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551'
  const [r, s] = [hex(QUOTE_SIGNATURE.subarray(6, 38)), hex(QUOTE_SIGNATURE.subarray(40))]
  const ecdsa = (rHex: string, sHex: string, hash: string = '000b'): Uint8Array =>
    bytes(
      `0018 ${hash} 00${(rHex.length / 2).toString(16).padStart(2, '0')} ${rHex} 00${(sHex.length / 2).toString(16).padStart(2, '0')} ${sHex}`,
    )
  const notVerified: Record<string, Uint8Array> = {
    'r is 0': ecdsa('00'.repeat(32), s),
    's is 0': ecdsa(r, '00'.repeat(32)),
    'r is empty': ecdsa('', s),
    'r is the order': ecdsa(order, s),
    's is the order': ecdsa(r, order),
    's is over the order': ecdsa(r, 'ff'.repeat(32)),
    'r has a leading zero too many': ecdsa(`00${r}`, s),
    'it names another hash than the key': ecdsa(r, s, '000c'),
    'it names sha-1': ecdsa(r, s, '0004'),
    'it is of another algorithm than the key': bytes(`0014 000b 0100 ${'11'.repeat(256)}`),
  }
  for (const [what, input] of Object.entries(notVerified)) {
    it(`does not verify when ${what}`, () => {
      assert.equal(verifyTpmSignature(key(), parseTpmSignature(input), QUOTE), false)
    })
  }

  it('verifies by a key without a scheme in its own hash, and never in sha-1', () => {
    const anyScheme = { ...key(), scheme: undefined }
    assert.ok(verifyTpmSignature(anyScheme, parseTpmSignature(QUOTE_SIGNATURE), QUOTE))
    assert.equal(verifyTpmSignature(anyScheme, parseTpmSignature(ecdsa(r, s, '0004')), QUOTE), false)
  })

  it('by the right key in another scheme or hash than the key says does not verify', () => {
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const spki = ec.publicKey.export({ format: 'der', type: 'spki' })
    const point = { x: spki.subarray(-64, -32), y: spki.subarray(-32) }
    const [eccArea, rsaArea] = [{ ...key(), unique: point }, rsaKey(rsa.publicKey)]
    const made = (algorithm: 'ecdsa' | 'rsassa' | 'rsapss', hash: TpmHash): TpmSignature => {
      const padding = constants[algorithm === 'rsapss' ? 'RSA_PKCS1_PSS_PADDING' : 'RSA_PKCS1_PADDING']
      const raw =
        algorithm === 'ecdsa'
          ? sign(hash, QUOTE, { key: ec.privateKey, dsaEncoding: 'ieee-p1363' })
          : sign(hash, QUOTE, { key: rsa.privateKey, padding })
      if (algorithm === 'ecdsa') return { algorithm, hash, r: raw.subarray(0, 32), s: raw.subarray(32) }
      return { algorithm, hash, bytes: raw }
    }
    for (const [area, algorithm, hash, good] of [
      [eccArea, 'ecdsa', 'sha256', true],
      [eccArea, 'ecdsa', 'sha384', false],
      [eccArea, 'ecdsa', 'sha1', false],
      [eccArea, 'rsassa', 'sha256', false],
      [rsaArea, 'rsassa', 'sha256', true],
      [rsaArea, 'rsassa', 'sha384', false],
      [rsaArea, 'rsapss', 'sha256', false],
      [rsaArea, 'ecdsa', 'sha256', false],
      [{ ...rsaArea, scheme: undefined }, 'rsapss', 'sha384', true],
      [{ ...rsaArea, scheme: undefined }, 'rsassa', 'sha1', false],
      [{ ...eccArea, scheme: undefined }, 'ecdsa', 'sha1', false],
    ] as const)
      assert.equal(
        verifyTpmSignature(area, made(algorithm, hash), QUOTE),
        good,
        `${area.type} ${algorithm} ${hash}`,
      )
  })

  const refused: Record<string, Uint8Array> = {
    'no signature': bytes('0010'),
    'an hmac': bytes(`0005 000b ${'00'.repeat(32)}`),
    'an unknown hash': ecdsa(r, s, '0012'),
    'a number longer than any curve': ecdsa('01'.repeat(49), s),
    'trailing bytes': new Uint8Array([...QUOTE_SIGNATURE, 0]),
  }
  for (const [what, input] of Object.entries(refused))
    it(`is refused: ${what}`, () => assert.throws(() => parseTpmSignature(input), { code: 'ZT-422-TPM' }))
})

describe('a selection of registers', () => {
  it('is the bitmap that TPMs take', () => {
    assert.equal(hex(encodePcrSelections([{ bank: 'sha256', indices: [0, 7, 16] }])), '00000001000b03810001')
    const none = new TpmReader(bytes('00000001000b00'), 'selection')
    assert.deepEqual(readPcrSelections(none), [{ bank: 'sha256', indices: [] }])
    none.end()
  })
  for (const index of [24, -1, 1.5])
    it(`does not name register ${index}`, () =>
      assert.throws(() => encodePcrSelections([{ bank: 'sha256', indices: [index] }]), {
        code: 'ZT-422-TPM',
      }))
})

describe('an area of certificates', () => {
  const one = bytes('3003020101')
  it('gives what is before the padding', () => {
    assert.deepEqual(certificatesInArea(bytes(`${hex(one)}${hex(one)}ffff`)), [one, one])
    assert.deepEqual(certificatesInArea(bytes('ffff')), [])
    assert.deepEqual(certificatesInArea(new Uint8Array()), [])
  })
  it('is refused when a certificate is cut short', () => {
    assert.throws(() => certificatesInArea(one.subarray(0, 4)), { code: 'ZT-422-TPM' })
  })
  it('is no proof of a key when it is no certificate', () => {
    assert.throws(() => certifiesKey(one, key()), { code: 'ZT-422-TPM' })
  })
})
