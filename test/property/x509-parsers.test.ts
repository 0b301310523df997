// Parsers of hostile bytes: whatever comes in, they answer with a value or with their own code, and never with a value
// that is not what the bytes say.
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { before, describe, it } from 'node:test'
import fc from 'fast-check'
import { parseLadderRequest } from '#pki/issuance/ladder-request.ts'
import { parseLadderResponse } from '#pki/issuance/ladder-response.ts'
import { isZtError, type ZtError } from '#shared/errors/error.ts'
import { generateP256 } from '#shared/jose/keys.ts'
import { openBundle, rootFingerprint } from '#shared/x509/bundle.ts'
import { parseCertificate } from '#shared/x509/certificate.ts'
import { createCsr, verifyCsr } from '#shared/x509/csr.ts'
import { DerReader } from '#shared/x509/der.ts'
import * as write from '#shared/x509/der-writer.ts'
import { certificatesFromPem, certificatesToPem } from '#shared/x509/pem.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { makeTestPki, type TestPki } from '#test/support/test-pki.ts'

const NOW = Date.UTC(2026, 10, 22, 12)
const RUNS = { numRuns: Number(process.env['ZT_FUZZ_RUNS'] ?? 300) }

let pki: TestPki
before(async () => {
  pki = await makeTestPki({ now: NOW })
})

/** Runs the parser: its value, or its refusal if that has one of `codes`; anything else fails the test. */
function outcome<T>(parse: () => T, codes: readonly string[]): T | ZtError {
  try {
    return parse()
  } catch (error) {
    assert.ok(isZtError(error) && codes.includes(error.code), String(error))
    return error
  }
}

/** Bytes that began as good ones: changed, cut, doubled or grown somewhere. */
function mutated(good: () => Uint8Array): fc.Arbitrary<Uint8Array> {
  const edit = fc.record({
    kind: fc.constantFrom('set', 'flip', 'insert', 'delete', 'copy', 'cut'),
    at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    value: fc.integer({ min: 0, max: 255 }),
  })
  return fc.array(edit, { minLength: 1, maxLength: 4 }).map((edits) => {
    let bytes = Buffer.from(good())
    for (const { kind, at, value } of edits) {
      const offset = Math.floor(at * bytes.length)
      if (kind === 'set') bytes[offset] = value
      else if (kind === 'flip') bytes[offset] = (bytes[offset] ?? 0) ^ (1 << (value & 7))
      else if (kind === 'cut') bytes = bytes.subarray(0, offset)
      else {
        const middle = {
          insert: [value],
          delete: [],
          copy: [...bytes.subarray(offset, offset + (value & 15))],
        }[kind]
        bytes = Buffer.from([
          ...bytes.subarray(0, offset),
          ...middle,
          ...bytes.subarray(offset + (kind === 'delete' ? 1 : 0)),
        ])
      }
    }
    return new Uint8Array(bytes)
  })
}

describe('der reader', () => {
  it('takes bytes apart without loss, or refuses them', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        outcome(() => {
          const reader = new DerReader(bytes, 'fuzz')
          const parts: Uint8Array[] = []
          while (!reader.done) {
            const { tag, content, raw } = reader.element()
            assert.deepEqual(write.der(tag, content), Uint8Array.from(raw))
            parts.push(raw)
          }
          assert.deepEqual(Buffer.concat(parts), Buffer.from(bytes))
        }, ['ZT-422-CERT'])
      }),
      RUNS,
    )
  })

  it('reads back every integer, identifier and bit list that the writer made', () => {
    const arcs = fc.tuple(
      fc.constantFrom(0, 1),
      fc.integer({ min: 0, max: 39 }),
      fc.array(fc.integer({ min: 0 }), { maxLength: 4 }),
    )
    const bits = fc.uniqueArray(fc.integer({ min: 0, max: 30 }), { minLength: 1 })
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 24 }), arcs, bits, (magnitude, [top, second, rest], set) => {
        const number = new DerReader(write.integer(magnitude), 'fuzz').integer()
        const hex = (bytes: Uint8Array): bigint => BigInt(`0x0${Buffer.from(bytes).toString('hex')}`)
        assert.equal(hex(number), hex(magnitude))
        const dotted = [top, second, ...rest].join('.')
        assert.equal(new DerReader(write.oid(dotted), 'fuzz').oid(), dotted)
        assert.deepEqual(
          new DerReader(write.namedBits(set), 'fuzz').namedBits(),
          set.toSorted((a, b) => a - b),
        )
      }),
      RUNS,
    )
  })
})

describe('certificate', () => {
  it('is refused as arbitrary bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 512 }), (bytes) => {
        assert.ok(isZtError(outcome(() => parseCertificate(bytes), ['ZT-422-CERT'])))
      }),
      RUNS,
    )
  })

  it('is read by OpenSSL too whenever we read it, and means the same', () => {
    fc.assert(
      fc.property(
        mutated(() => pki.identity('/hub/h1').chain[0] ?? new Uint8Array()),
        (bytes) => {
          const ours = outcome(() => parseCertificate(bytes), ['ZT-422-CERT'])
          if (isZtError(ours)) return
          const theirs = new X509Certificate(bytes)
          assert.equal(theirs.serialNumber.toLowerCase(), ours.serial)
          assert.equal(theirs.ca, ours.isCa)
          assert.equal(Date.parse(theirs.validTo), ours.notAfter)
          const uris = (theirs.subjectAltName ?? '').split(', ').filter((name) => name.startsWith('URI:'))
          assert.equal(uris.length, ours.sans.uris.length)
        },
      ),
      RUNS,
    )
  })

  it('proves nothing with any octet of its chain changed', () => {
    const { chain } = { chain: (): readonly Uint8Array[] => pki.identity('/node/n1').chain }
    fc.assert(
      fc.property(
        mutated(() => chain()[0] ?? new Uint8Array()),
        fc.boolean(),
        (bytes, inIntermediate) => {
          const [leaf = new Uint8Array(), intermediate = new Uint8Array()] = chain()
          const bent = inIntermediate ? [leaf, bytes] : [bytes, intermediate]
          const result = outcome(() => new SvidValidator(pki.bundle).validate(bent, NOW), ['ZT-401-CERT'])
          // An edit may put back what was there: then the leaf is one that the authority did sign.
          if (!isZtError(result)) assert.equal(result.id, 'spiffe://mesh.example/node/n1')
        },
      ),
      RUNS,
    )
  })

  it('proves only what was signed: an accepted chain is an issued one', () => {
    const identity = pki.identity('/node/n1')
    fc.assert(
      fc.property(
        mutated(() => identity.chain[0] ?? new Uint8Array()),
        (bytes) => {
          const bent = [bytes, identity.chain[1] ?? new Uint8Array()]
          const result = outcome(() => new SvidValidator(pki.bundle).validate(bent, NOW), ['ZT-401-CERT'])
          if (!isZtError(result)) assert.deepEqual(Buffer.from(bytes), Buffer.from(identity.chain[0] ?? []))
        },
      ),
      RUNS,
    )
  })
})

describe('certificate request', () => {
  const good = createCsr(generateP256())
  it('is refused unless it is a whole one', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array({ maxLength: 300 }),
          mutated(() => good),
        ),
        (bytes) => {
          const result = outcome(() => verifyCsr(bytes), ['ZT-422-CSR'])
          if (!isZtError(result)) assert.deepEqual(Buffer.from(bytes), Buffer.from(good))
        },
      ),
      RUNS,
    )
  })
})

describe('trust bundle', () => {
  it('is refused unless it is the signed text, whatever else it is', () => {
    const edited = mutated(() => Buffer.from(pki.signedBundle)).map((bytes) =>
      Buffer.from(bytes).toString('latin1'),
    )
    fc.assert(
      fc.property(fc.oneof(fc.string(), edited), (text) => {
        const pinned = { pinnedRoot: rootFingerprint(pki.root.certificate) }
        const result = outcome(() => openBundle(text, pinned, NOW), ['ZT-401-BUNDLE'])
        if (!isZtError(result)) assert.equal(text, pki.signedBundle)
      }),
      RUNS,
    )
  })
})

describe('ladder files and pem', () => {
  it('are refused as arbitrary bytes and as arbitrary json', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc.json().map((text) => Buffer.from(text)),
    )
    fc.assert(
      fc.property(bytes, (content) => {
        assert.ok(isZtError(outcome(() => parseLadderRequest(content), ['ZT-422-CEREMONY'])))
        assert.ok(isZtError(outcome(() => parseLadderResponse(content), ['ZT-422-CEREMONY'])))
      }),
      RUNS,
    )
  })

  it('come back as the certificates that went in', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 100 }), { maxLength: 4 }),
        (certificates) => {
          assert.deepEqual(
            certificatesFromPem(certificatesToPem(certificates)).map((der) => [...der]),
            certificates.map((der) => [...der]),
          )
        },
      ),
      RUNS,
    )
  })

  it('refuse text that is not pem', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1 }), (text) => {
        assert.ok(isZtError(outcome(() => certificatesFromPem(text), ['ZT-422-CERT', 'ZT-400-MALFORMED'])))
      }),
      RUNS,
    )
  })
})
