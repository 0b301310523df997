// Which bytes are a certificate. What a certificate proves is for svid.test.ts.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  ascii,
  booleanTrue,
  der,
  explicit,
  integer,
  namedBits,
  octetString,
  oid,
  sequence,
  time,
} from '#shared/x509/der-writer.ts'
import { TAG } from '#shared/x509/der.ts'
import { parseCertificate } from '#shared/x509/certificate.ts'
import { OID } from '#shared/x509/oid.ts'
import { makeTestPki } from '#test/support/test-pki.ts'
import { extension, rawCertificate, SAN, wrap, type RawParts } from '#test/support/raw-certificate.ts'

const AT = Date.UTC(2026, 10, 22)
const NOT_AFTER = time(AT + 300_000)
const constraints = (...fields: Uint8Array[]): Uint8Array =>
  extension(OID.basicConstraints, sequence(...fields), true)
const usage = (content: Uint8Array): Uint8Array => extension(OID.keyUsage, content, true)
const names = (...content: Uint8Array[]): Uint8Array => extension(OID.subjectAltName, sequence(...content))
const validity = (from: Uint8Array, to: Uint8Array = NOT_AFTER): Partial<RawParts> => ({
  validity: sequence(from, to),
})
const cn = (...parts: Uint8Array[]): Uint8Array => sequence(...parts)
const attribute = (id: string, text: string): Uint8Array =>
  sequence(oid(id), der(TAG.utf8String, ascii(text)))

const REFUSED: Record<string, Partial<RawParts>> = {
  'of version 1': { version: new Uint8Array(), extensions: [] },
  'of version 2': { version: explicit(0, integer(Uint8Array.of(1))) },
  'of version 4': { version: explicit(0, integer(Uint8Array.of(3))) },
  'with something after the version': {
    version: explicit(0, integer(Uint8Array.of(2)), integer(Uint8Array.of(2))),
  },
  'with a serial of zero': { serial: integer(Uint8Array.of(0)) },
  'with a negative serial': { serial: der(TAG.integer, Uint8Array.of(0xff)) },
  'with a serial of 21 octets': { serial: der(TAG.integer, new Uint8Array(21).fill(1)) },
  'with a serial that is not minimal': { serial: der(TAG.integer, Uint8Array.of(0, 1)) },
  'with another algorithm outside than inside': { outerAlgorithm: sequence(oid(OID.ecdsaWithSha384)) },
  'with parameters outside only': { outerAlgorithm: sequence(oid(OID.ecdsaWithSha256), der(TAG.null)) },
  'with an empty issuer': { issuer: sequence() },
  'with a subject of an empty part': { subject: cn(der(TAG.set)) },
  'with a subject part out of order': {
    subject: cn(der(TAG.set, attribute(OID.emailAddress, 'a@b'), attribute(OID.commonName, 'x'))),
  },
  'with a subject attribute without a value': { subject: cn(der(TAG.set, sequence(oid(OID.commonName)))) },
  'with a time of no seconds': validity(der(TAG.utcTime, ascii('2611220000Z'))),
  'with a time of an offset': validity(der(TAG.utcTime, ascii('261122000000+0000'))),
  'with a time of fractions': validity(der(TAG.generalizedTime, ascii('20561122000000.5Z'))),
  'with generalized time before 2050': validity(der(TAG.generalizedTime, ascii('20261122000000Z'))),
  'with a date that does not exist': validity(der(TAG.utcTime, ascii('260230000000Z'))),
  'with hour 24': validity(der(TAG.utcTime, ascii('261122240000Z'))),
  'with a third time': { validity: sequence(time(AT), NOT_AFTER, NOT_AFTER) },
  'with a unique identifier': { extensions: [der(0x81, Uint8Array.of(0, 1)), ...wrap(SAN)] },
  'without extensions': { extensions: [] },
  'with an empty list of extensions': { extensions: wrap() },
  'with something after the extensions': { extensions: [...wrap(SAN), integer(Uint8Array.of(1))] },
  'with an extension twice': { extensions: wrap(SAN, SAN) },
  'with an unknown extension twice': {
    extensions: wrap(SAN, extension('1.2.3', Uint8Array.of(1)), extension('1.2.3', Uint8Array.of(1))),
  },
  'with criticality FALSE written out': {
    extensions: wrap(sequence(oid('1.2.3'), der(TAG.boolean, Uint8Array.of(0)), octetString(SAN))),
  },
  'with criticality 01': {
    extensions: wrap(sequence(oid('1.2.3'), der(TAG.boolean, Uint8Array.of(1)), octetString(SAN))),
  },
  'with something after an extension value': {
    extensions: wrap(sequence(oid('1.2.3'), octetString(SAN), der(TAG.null))),
  },
  'with cA FALSE written out': { extensions: wrap(SAN, constraints(der(TAG.boolean, Uint8Array.of(0)))) },
  'with a path length and no cA': { extensions: wrap(SAN, constraints(integer(Uint8Array.of(0)))) },
  'with a negative path length': {
    extensions: wrap(SAN, constraints(booleanTrue(), der(TAG.integer, Uint8Array.of(0xff)))),
  },
  'with something after basic constraints': {
    extensions: wrap(SAN, constraints(booleanTrue(), integer(Uint8Array.of(0)), der(TAG.null))),
  },
  'with an empty key usage': { extensions: wrap(SAN, usage(namedBits([]))) },
  'with a key usage without a meaning': { extensions: wrap(SAN, usage(namedBits([9]))) },
  'with a key usage that is not DER': { extensions: wrap(SAN, usage(Uint8Array.of(3, 2, 0, 0x80))) },
  'with bytes after key usage': { extensions: wrap(SAN, usage(Uint8Array.of(3, 2, 7, 0x80, 0))) },
  'with an empty extended key usage': { extensions: wrap(SAN, extension(OID.extendedKeyUsage, sequence())) },
  'with an empty alternative name': { extensions: wrap(names()) },
  'with a NUL in a name': { extensions: wrap(names(der(0x82, Uint8Array.of(0x61, 0, 0x62)))) },
  'with a space in a uri': { extensions: wrap(names(der(0x86, ascii('spiffe://mesh.example/a b')))) },
  'with octets over 7f in a uri': { extensions: wrap(names(der(0x86, Uint8Array.of(0x73, 0xe9)))) },
  'with an address of five octets': { extensions: wrap(names(der(0x87, new Uint8Array(5)))) },
  'with a name of an unknown form': { extensions: wrap(names(der(0x89, Uint8Array.of(1)))) },
  'with a constructed uri': { extensions: wrap(names(der(0xa6, ascii('x')))) },
  'with half an authority identifier': {
    extensions: wrap(SAN, extension(OID.authorityKeyId, sequence(der(0xa1, SAN)))),
  },
  'with a signature of unused bits': { signature: der(TAG.bitString, Uint8Array.of(1, 2)) },
  'with something after the signature': { trailing: [der(TAG.null)] },
}

describe('certificate parser', () => {
  it('reads what it should', () => {
    const certificate = parseCertificate(rawCertificate())
    assert.equal(certificate.serial, '010203')
    assert.equal(certificate.notBefore, AT)
    assert.equal(certificate.notAfter, AT + 300_000)
    assert.deepEqual(certificate.sans.uris, ['spiffe://mesh.example/node/n1'])
    assert.equal(certificate.subjectIsEmpty, true)
    assert.equal(certificate.isCa, false)
    assert.deepEqual(certificate.unknownCritical, [])
  })

  for (const [what, change] of Object.entries(REFUSED)) {
    it(`refuses one ${what}`, () => {
      assert.throws(() => parseCertificate(rawCertificate(change)), { code: 'ZT-422-CERT' })
    })
  }

  it('refuses bytes after the certificate', () => {
    const good = rawCertificate()
    assert.throws(() => parseCertificate(Uint8Array.from([...good, 0])), { code: 'ZT-422-CERT' })
  })

  it('refuses a certificate that is cut short, anywhere', () => {
    const good = rawCertificate()
    for (let length = 0; length < good.length; length += 1) {
      assert.throws(() => parseCertificate(good.subarray(0, length)), { code: 'ZT-422-CERT' })
    }
  })

  it('refuses a certificate over 16 KiB', () => {
    const large = extension('1.2.3', new Uint8Array(17_000))
    assert.throws(() => parseCertificate(rawCertificate({ extensions: wrap(SAN, large) })), {
      code: 'ZT-422-CERT',
    })
  })

  it('keeps its own copy: a change of the input afterwards changes nothing', () => {
    const input = rawCertificate()
    const certificate = parseCertificate(input)
    const before = Buffer.from(certificate.spki).toString('hex')
    input.fill(0)
    assert.equal(Buffer.from(certificate.spki).toString('hex'), before)
  })

  it('names critical extensions that it does not understand', () => {
    const certificate = parseCertificate(
      rawCertificate({ extensions: wrap(SAN, extension('1.2.3.4', Uint8Array.of(1), true)) }),
    )
    assert.deepEqual(certificate.unknownCritical, ['1.2.3.4'])
  })

  it('keeps the forms of names apart', () => {
    const forms = names(
      der(0x81, ascii('a@b.c')),
      der(0x82, ascii('host')),
      der(0x86, ascii('spiffe://td/x')),
      der(0x87, Uint8Array.of(127, 0, 0, 1)),
      der(0xa4, sequence()),
    )
    const { sans } = parseCertificate(rawCertificate({ extensions: wrap(forms) }))
    assert.deepEqual(sans, {
      emails: ['a@b.c'],
      dns: ['host'],
      uris: ['spiffe://td/x'],
      ips: [Uint8Array.of(127, 0, 0, 1)],
      other: [0xa4],
    })
  })

  it('reads the years that two digits stand for as RFC 5280 does', () => {
    const certificate = parseCertificate(
      rawCertificate(
        validity(der(TAG.utcTime, ascii('500101000000Z')), der(TAG.utcTime, ascii('491231235959Z'))),
      ),
    )
    assert.equal(certificate.notBefore, Date.UTC(1950, 0, 1))
    assert.equal(certificate.notAfter, Date.UTC(2049, 11, 31, 23, 59, 59))
  })

  it('reads every certificate that we issue', async () => {
    const pki = await makeTestPki({ now: AT })
    for (const path of ['/node/n1', '/hub/h1', '/agent/a/task/t']) {
      for (const der of pki.identity(path).chain) assert.ok(parseCertificate(der))
    }
  })
})
