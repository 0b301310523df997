// A request proves possession of a P-256 key, and says nothing else.
import assert from 'node:assert/strict'
import { generateKeyPairSync, sign } from 'node:crypto'
import { describe, it } from 'node:test'
import { ascii, der, explicit, integer, oid, sequence, wholeBits } from '#shared/x509/der-writer.ts'
import { createCsr, verifyCsr } from '#shared/x509/csr.ts'
import { OID } from '#shared/x509/oid.ts'
import { generateP256, spkiOf } from '#shared/jose/keys.ts'

const KEYS = generateP256()
const ALGORITHM = sequence(oid(OID.ecdsaWithSha256))

interface Parts {
  readonly version: Uint8Array
  readonly subject: Uint8Array
  readonly spki: Uint8Array
  readonly attributes: readonly Uint8Array[]
  readonly algorithm: Uint8Array
  readonly key: ReturnType<typeof generateP256>['privateKey']
  readonly hash: string
  readonly trailing: readonly Uint8Array[]
}

function rawCsr(change: Partial<Parts> = {}): Uint8Array {
  const parts: Parts = {
    version: integer(Uint8Array.of(0)),
    subject: sequence(),
    spki: KEYS.spki,
    attributes: [explicit(0)],
    algorithm: ALGORITHM,
    key: KEYS.privateKey,
    hash: 'sha256',
    trailing: [],
    ...change,
  }
  const info = sequence(parts.version, parts.subject, parts.spki, ...parts.attributes)
  const signature = sign(parts.hash, info, { key: parts.key, dsaEncoding: 'der' })
  return sequence(info, parts.algorithm, wholeBits(signature), ...parts.trailing)
}

const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' })
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const offCurve = Uint8Array.from(KEYS.spki)
offCurve[90] = (offCurve[90] ?? 0) ^ 1
const compressed = generateKeyPairSync('ec', {
  namedCurve: 'P-256',
  publicKeyEncoding: { type: 'spki', format: 'der' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  paramEncoding: 'explicit',
})

const REFUSED: Record<string, Partial<Parts>> = {
  'of another version': { version: integer(Uint8Array.of(1)) },
  'signed with another key': { key: generateP256().privateKey },
  'signed with another hash': { hash: 'sha384' },
  'that names another algorithm': { algorithm: sequence(oid(OID.ecdsaWithSha384)) },
  'whose algorithm has parameters': { algorithm: sequence(oid(OID.ecdsaWithSha256), der(0x05)) },
  'for a P-384 key': { spki: spkiOf(p384.publicKey), key: p384.privateKey },
  'for an RSA key': { spki: spkiOf(rsa.publicKey), key: rsa.privateKey },
  'for a point that is not on the curve': { spki: offCurve },
  'for a key with explicit parameters': { spki: compressed.publicKey },
  'without attributes': { attributes: [] },
  'with attributes that are no sequences': { attributes: [explicit(0, der(0x04, ascii('x')))] },
  'with something after the attributes': { attributes: [explicit(0), der(0x05)] },
  'with something after the signature': { trailing: [der(0x05)] },
  'with a subject that is not DER': { subject: sequence(der(0x31)) },
}

describe('certificate request', () => {
  it('proves its key', () => {
    const csr = verifyCsr(createCsr(KEYS))
    assert.deepEqual(Buffer.from(csr.spki), Buffer.from(KEYS.spki))
    assert.equal(csr.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1')
  })

  it('may wish for anything: only the key comes out, and that there was a wish', () => {
    const attributes = [
      explicit(0, sequence(oid('1.2.840.113549.1.9.14'), der(0x31, sequence(ascii('cA=true'))))),
    ]
    const name = sequence(oid(OID.commonName), der(0x0c, ascii('hub')))
    const subject = sequence(der(0x31, name))
    for (const wish of [{ attributes }, { subject }, { attributes, subject }]) {
      const { hasWishes, ...rest } = verifyCsr(rawCsr(wish))
      assert.deepEqual([hasWishes, Object.keys(rest)], [true, ['spki', 'publicKey']])
    }
    assert.equal(verifyCsr(createCsr(KEYS)).hasWishes, false)
  })

  for (const [what, change] of Object.entries(REFUSED)) {
    it(`is refused ${what}`, () => {
      assert.throws(() => verifyCsr(rawCsr(change)), { code: 'ZT-422-CSR' })
    })
  }

  it('is refused with any octet changed', () => {
    const good = createCsr(KEYS)
    for (let at = 0; at < good.length; at += 1) {
      const bad = Uint8Array.from(good)
      bad[at] = (bad[at] ?? 0) ^ 0x01
      assert.throws(() => verifyCsr(bad), { code: 'ZT-422-CSR' }, `octet ${at}`)
    }
  })

  it('is refused with bytes after it, and over 4 KiB', () => {
    assert.throws(() => verifyCsr(Uint8Array.from([...createCsr(KEYS), 0])), { code: 'ZT-422-CSR' })
    assert.throws(() => verifyCsr(rawCsr({ attributes: [explicit(0, sequence(new Uint8Array(5000)))] })), {
      code: 'ZT-422-CSR',
    })
  })
})
