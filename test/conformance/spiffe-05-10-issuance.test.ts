// SPIFFE X509-SVID §2 to §4, as an issuer: items 5 to 10. What our issuance makes is read by a parser of its own and by
// OpenSSL's; what it must not make is asked of it, and refused by the validator where somebody else made it.
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { before, describe } from 'node:test'
import { issueSvid, issueInfraLeaf } from '#pki/issuance/issue.ts'
import { PROFILES } from '#pki/issuance/profile.ts'
import { commonName, type Template } from '#pki/issuance/tbs.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { generateP256, type P256KeyPair } from '#shared/jose/keys.ts'
import { parseCertificate, type Certificate } from '#shared/x509/certificate.ts'
import { createCsr, verifyCsr } from '#shared/x509/csr.ts'
import { OID } from '#shared/x509/oid.ts'
import type { ChainRefusal } from '#shared/x509/path.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { accepts, refuses } from '#test/support/conformance.ts'
import { wishfulCsr } from '#test/support/wishful-csr.ts'
import { bentSvid } from '#test/support/bent-svid.ts'
import { makeIntermediate, makeLeaf, makeTestPki, type TestPki } from '#test/support/test-pki.ts'

const NOW = Date.UTC(2026, 10, 22, 12)
const URI = 'spiffe://mesh.example/node/n1'

let pki: TestPki
before(async () => {
  pki = await makeTestPki({ now: NOW })
})

const leafOf = (path: string): Certificate =>
  parseCertificate(pki.identity(path).chain[0] ?? new Uint8Array())
const refusal = (reason: ChainRefusal): object => ({ code: 'ZT-401-CERT', details: { reason } })
const judge = (chain: readonly Uint8Array[]): unknown => new SvidValidator(pki.bundle).validate(chain, NOW)
const madeBySomebodyElse = (change: Partial<Template>): Uint8Array[] => [
  makeLeaf(pki.workload, { uri: URI, at: NOW }, change).certificate.der,
  pki.workload.certificate.der,
]
const PRINCIPALS = ['/node/n1', '/operator/ann', '/agent/a/task/t', '/ci/nightly', '/hub/h1', '/nats/h1']

// §2: "An X.509 SVID MUST contain exactly one URI SAN, and by extension, exactly one SPIFFE ID."
describe('one identity', () => {
  for (const path of PRINCIPALS)
    accepts(5, `${path} has one uri name, its own`, () => {
      assert.deepEqual(leafOf(path).sans.uris, [`spiffe://mesh.example${path}`])
      const { subjectAltName = '' } = new X509Certificate(leafOf(path).der)
      assert.equal(subjectAltName.match(/URI:/g)?.length, 1)
    })

  refuses(5, 'a second uri name, of whatever scheme', () => {
    for (const second of ['spiffe://mesh.example/node/n2', 'https://mesh.example/'])
      assert.throws(() => judge(bentSvid(pki, { uris: [URI, second] }, NOW).chain), refusal('uri-san'))
  })
})

// §3.1: "Leaf certificate SPIFFE IDs MUST have a non-root path component." §4.1: "leaf certificates MUST set the cA field to
// false". §4.3: "MUST be set on all SVIDs, and MUST be marked critical"; "Leaf SVIDs MUST set digitalSignature"; "MUST NOT
// set keyCertSign or cRLSign".
describe('leaf', () => {
  for (const path of PRINCIPALS)
    accepts(6, `${path} is a leaf for signatures, and for nothing else`, () => {
      const { isCa, keyUsage, critical } = leafOf(path)
      assert.deepEqual([isCa, [...keyUsage]], [false, ['digitalSignature']])
      assert.ok(critical.has(OID.keyUsage))
    })

  refuses(6, 'to issue for a trust domain without a path', () => {
    assert.throws(() => parseSpiffeId('spiffe://mesh.example'), { code: 'ZT-422-SPIFFE-ID' })
    assert.throws(
      () => judge(madeBySomebodyElse({ names: { uri: 'spiffe://mesh.example', dns: [], ips: [] } })),
      {
        code: 'ZT-401-CERT',
      },
    )
  })

  const usages: Record<string, Template['profile']['keyUsage']> = {
    'no digitalSignature': ['keyAgreement'],
    keyCertSign: ['digitalSignature', 'keyCertSign'],
    cRLSign: ['digitalSignature', 'cRLSign'],
  }
  for (const [what, keyUsage] of Object.entries(usages))
    refuses(6, `a leaf with ${what}`, () => {
      const chain = madeBySomebodyElse({ profile: { ...PROFILES.svid, keyUsage } })
      assert.throws(() => judge(chain), refusal('key-usage'))
    })
})

// §3.1: "the URI SAN extension MUST be marked as critical if Subject is omitted" (RFC 5280 §4.1.2.6).
describe('subject', () => {
  for (const path of PRINCIPALS)
    accepts(7, `${path} has no subject, and a critical alternative name`, () => {
      const { subjectIsEmpty, critical } = leafOf(path)
      assert.deepEqual([subjectIsEmpty, critical.has(OID.subjectAltName)], [true, true])
    })

  refuses(7, 'a leaf with neither a subject nor a critical alternative name', () => {
    const { chain } = bentSvid(pki, { uris: [URI], sanIsCritical: false }, NOW)
    assert.throws(() => judge(chain), refusal('subject'))
  })
})

// §4.4: "When included, fields id-kp-serverAuth and id-kp-clientAuth MUST be set."
describe('purposes', () => {
  for (const path of PRINCIPALS)
    accepts(8, `${path} is for both ends of a connection`, () => {
      assert.deepEqual(leafOf(path).eku, [OID.serverAuth, OID.clientAuth])
    })

  accepts(8, 'a leaf without the extension counts', () => {
    assert.ok(judge(madeBySomebodyElse({ profile: { ...PROFILES.svid, extendedKeyUsage: [] } })))
  })

  for (const purpose of [OID.serverAuth, OID.clientAuth, '1.3.6.1.5.5.7.3.3'])
    refuses(8, `a leaf for ${purpose} alone`, () => {
      const chain = madeBySomebodyElse({ profile: { ...PROFILES.svid, extendedKeyUsage: [purpose] } })
      assert.throws(() => judge(chain), refusal('extended-key-usage'))
    })
})

// §3.2: "one which has set keyCertSign […]. It additionally has the cA flag set to true"; "the SPIFFE ID of a signing
// certificate MUST NOT have a path component, and SHOULD reside in the trust domain of any leaf SVIDs it issues. […] MUST
// NOT be used for authentication purposes."
describe('signing certificate', () => {
  accepts(9, 'root and intermediates are authorities named with the trust domain alone', () => {
    for (const { certificate } of [pki.root, pki.workload, pki.infra]) {
      assert.equal(certificate.isCa, true)
      assert.ok(certificate.keyUsage.has('keyCertSign'))
      assert.ok(certificate.critical.has(OID.keyUsage) && certificate.critical.has(OID.basicConstraints))
      assert.deepEqual(certificate.sans.uris, ['spiffe://mesh.example'])
    }
  })

  refuses(9, 'an intermediate in the place of a leaf', () => {
    const chain = [pki.workload.certificate.der, pki.root.certificate.der]
    assert.throws(() => judge(chain), { code: 'ZT-401-CERT' })
  })

  refuses(9, 'an intermediate whose spiffe id has a path, or is of another trust domain', () => {
    for (const uri of ['spiffe://mesh.example/ca', 'spiffe://other.example']) {
      const names = { uri, dns: [], ips: [] }
      const issuer = makeIntermediate('workload-ca', { ...pki, at: NOW }, { names })
      const chain = [makeLeaf(issuer, { uri: URI, at: NOW }).certificate.der, issuer.certificate.der]
      assert.throws(() => judge(chain), refusal('trust-domain'))
    }
  })

  refuses(9, 'an intermediate that is not marked as an authority', () => {
    const profile = { ...PROFILES['workload-ca'], keyUsage: ['cRLSign'] as const }
    const issuer = makeIntermediate('workload-ca', { ...pki, at: NOW }, { profile })
    const chain = [makeLeaf(issuer, { uri: URI, at: NOW }).certificate.der, issuer.certificate.der]
    assert.throws(() => judge(chain), refusal('key-usage'))
  })
})

// Checklist: the authority decides the content; of a request only the key and the proof of its possession count.
describe('request', () => {
  const issue = (csr: Uint8Array): Certificate => {
    const order = {
      issuer: pki.workload,
      csr: verifyCsr(csr),
      id: parseSpiffeId(URI),
      ttlMs: 60_000,
      now: NOW,
    }
    return parseCertificate(issueSvid(order).chain[0] ?? new Uint8Array())
  }
  const plain = (certificate: Certificate): unknown => {
    const { sans, isCa, keyUsage, eku, extensionIds, subjectIsEmpty } = certificate
    return { sans, isCa, keyUsage, eku, extensionIds, subjectIsEmpty }
  }

  accepts(10, 'the key of the request is that of the SVID', () => {
    const keys: P256KeyPair = generateP256()
    assert.deepEqual(Buffer.from(issue(createCsr(keys)).spki), Buffer.from(keys.spki))
  })

  refuses(
    10,
    'names, purposes, a subject and an authority that the requester wishes for: they have no effect',
    () => {
      const keys = generateP256()
      const wished = wishfulCsr(keys, {
        subject: commonName('hub'),
        uris: ['spiffe://mesh.example/hub/h1'],
        dns: ['hub.mesh.example'],
        eku: ['1.3.6.1.5.5.7.3.3'],
        isCa: true,
      })
      assert.deepEqual(plain(issue(wished)), plain(issue(createCsr(keys))))
    },
  )

  refuses(10, 'a request whose key did not sign it', () => {
    const csr = Buffer.from(createCsr(generateP256()))
    const at = csr.length - 8
    csr[at] = (csr[at] ?? 0) ^ 1
    assert.throws(() => verifyCsr(csr), { code: 'ZT-422-CSR' })
  })

  refuses(10, 'a workload that asks the infra authority, and the other way round', () => {
    const csr = verifyCsr(createCsr(generateP256()))
    const order = { issuer: pki.workload, csr, ttlMs: 60_000, now: NOW }
    assert.throws(() => issueSvid({ ...order, id: parseSpiffeId('spiffe://mesh.example/hub/h1') }), {
      code: 'ZT-422-SPIFFE-ID',
    })
    const infra = { ...order, issuer: pki.infra, id: parseSpiffeId(URI), dnsNames: [], ips: [] }
    assert.throws(() => issueInfraLeaf(infra), { code: 'ZT-422-SPIFFE-ID' })
  })
})
