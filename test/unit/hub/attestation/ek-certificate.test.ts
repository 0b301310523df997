// What vendors write in EK certificates is read, and whatever is not DER, not an accepted key or algorithm, is not.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { readEkCertificate, withoutNvPadding } from '#hub/attestation/ek-certificate.ts'
import * as write from '#shared/x509/der-writer.ts'
import { TAG } from '#shared/x509/der.ts'
import { extension } from '#test/support/raw-certificate.ts'
import {
  basicConstraints,
  ecKeys,
  keyUsage,
  pssParameters,
  rsaKeys,
  tcgName,
  VendorCa,
  vendorCertificate,
  VENDOR_FROM,
  type CertificateParts,
} from '#test/support/vendor-ca.ts'

const ca = new VendorCa()
const ec = ecKeys()
const rsa = rsaKeys()
const SHA384 = '2.16.840.1.101.3.4.2.2'

const ek = (change: Partial<CertificateParts> = {}): Uint8Array => ca.ek(ec.spki, change)
const pss = (algorithm: Uint8Array): Uint8Array =>
  ek({ scheme: 'pss-sha256', signer: rsa.privateKey, algorithm })

describe('an EK certificate', () => {
  it('is read with the name of its TPM, in three sets or in one', () => {
    for (const form of ['sets', 'one-set'] as const) {
      const { make } = readEkCertificate(ek({ extensions: [tcgName({}, form)] }))
      assert.deepEqual(make, { manufacturer: 'id:00001014', model: 'swtpm', version: 'id:20191023' })
    }
  })

  it('is read with an RSA key of 2048 to 4096 bits and with P-256 and P-384', () => {
    const keys = [rsa.spki, rsaOf(384), rsaOf(512), ec.spki, ecKeys('P-384').spki]
    const types = keys.map((spki) => readEkCertificate(ca.ek(spki)).key.type)
    assert.deepEqual(types, ['rsa', 'rsa', 'rsa', 'P-256', 'P-384'])
  })

  it('is read signed by RSA, RSA-PSS and ECDSA', () => {
    const signed = [
      ek(),
      ek({ scheme: 'rsa-sha256', signer: rsa.privateKey }),
      ek({ scheme: 'pss-sha256', signer: rsa.privateKey }),
    ]
    assert.deepEqual(
      signed.map((der) => readEkCertificate(der).scheme.padding),
      ['ecdsa', 'pkcs1', 'pss'],
    )
  })

  const critical = (value: Uint8Array): Uint8Array => extension('2.5.29.19', value, true)
  const refused: Record<string, () => Uint8Array> = {
    nothing: () => new Uint8Array(),
    'a byte after it': () => Uint8Array.from([...ek(), 0]),
    'a byte short': () => ek().subarray(0, -1),
    'over 8192 bytes': () => ek({ extensions: [extension('1.2.3', new Uint8Array(8192))] }),
    'an RSA key of 1024 bits': () => ca.ek(rsaKeys(1024).spki),
    'an RSA key of 4104 bits': () => ca.ek(rsaOf(513)),
    'an RSA key of 16384 bits, at no cost': () => ca.ek(rsaOf(2048)),
    'an RSA exponent of 3': () => ca.ek(rsaOf(256, [3])),
    'a P-521 key': () => ca.ek(ecKeys('P-521').spki),
    'a signature with SHA-1': () => ek({ scheme: 'rsa-sha1', signer: rsa.privateKey }),
    'a PSS salt of another length': () => pss(pssParameters(undefined, undefined, 20)),
    'a PSS mask with another hash': () => pss(pssParameters(undefined, SHA384)),
    'a TCG manufacturer that is no id': () => ek({ extensions: [tcgName({ manufacturer: 'IBM' })] }),
    'a TCG model with a control character': () => ek({ extensions: [tcgName({ model: 'a\nb' })] }),
    'a TCG model of 65 characters': () => ek({ extensions: [tcgName({ model: 'm'.repeat(65) })] }),
    'an extension twice': () => ek({ extensions: [keyUsage('keyAgreement'), keyUsage('keyAgreement')] }),
    'a path length on a leaf': () => ek({ extensions: [basicConstraints(false, 0)] }),
    'basic constraints that write out FALSE': () =>
      ek({ extensions: [critical(write.sequence(write.der(TAG.boolean, Uint8Array.of(0))))] }),
    'a boolean that is not DER': () =>
      ek({ extensions: [critical(write.sequence(write.der(TAG.boolean, Uint8Array.of(1))))] }),
    'no extensions at all': () => ek({ extensions: [] }),
    'a time without seconds': () =>
      Buffer.from(Buffer.from(ek()).toString('latin1').replace('000000Z', '00000Z0'), 'latin1'),
  }
  for (const [what, make] of Object.entries(refused))
    it(`is refused with ${what}`, () => {
      assert.throws(() => readEkCertificate(make()), { code: 'ZT-422-CERT' })
    })

  it('is refused when it is of version 1', () => {
    const parts = {
      subject: 'x',
      issuer: 'x',
      spki: ec.spki,
      extensions: [],
      scheme: 'ecdsa-sha256' as const,
    }
    const times = { notBefore: VENDOR_FROM, notAfter: VENDOR_FROM + 1000 }
    const der = Buffer.from(vendorCertificate({ ...parts, ...times, signer: ec.privateKey }))
    const version = der.indexOf(Buffer.from('a003020102', 'hex'))
    der[version + 4] = 0
    assert.throws(() => readEkCertificate(der), { code: 'ZT-422-CERT' })
  })
})

describe('what an NV index holds', () => {
  const der = ek()
  for (const [what, padding] of Object.entries({ nothing: [], zeros: [0, 0, 0], ones: [255, 255] }))
    it(`is cut to its certificate when ${what} follows`, () => {
      assert.deepEqual([...withoutNvPadding(Uint8Array.from([...der, ...padding]))], [...der])
    })

  const refused: Record<string, Uint8Array> = {
    'other bytes follow': Uint8Array.from([...der, 0, 1]),
    'zeros and ones follow': Uint8Array.from([...der, 0, 255]),
    'it is shorter than its certificate': der.subarray(0, 100),
    'it is empty': new Uint8Array(),
    'it is a short element': Uint8Array.of(0x30, 0x00),
    'it has the header of TPM 1.2': Uint8Array.from([0x10, 0x01, 0x00, 0x02, 0x58, ...der]),
  }
  for (const [what, nv] of Object.entries(refused))
    it(`is refused when ${what}`, () => {
      assert.throws(() => withoutNvPadding(nv), { code: 'ZT-422-CERT' })
    })
})

/** A modulus that nobody could have as a key, for who would compute with it. */
/** An RSA key that nobody has, which is made at once. */
function rsaOf(bytes: number, exponent: readonly number[] = [1, 0, 1]): Uint8Array {
  const key = write.sequence(
    write.integer(new Uint8Array(bytes).fill(0xff)),
    write.integer(Uint8Array.from(exponent)),
  )
  return write.sequence(
    write.sequence(write.oid('1.2.840.113549.1.1.1'), write.der(TAG.null)),
    write.wholeBits(key),
  )
}
