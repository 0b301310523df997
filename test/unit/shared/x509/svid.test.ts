// Whose a chain is: SPIFFE X509-SVID §5 and RFC 5280 §6, one bent certificate a test.
import assert from 'node:assert/strict'
import { createPublicKey, verify } from 'node:crypto'
import { before, describe, it } from 'node:test'
import { workloadConstraints } from '#pki/issuance/constraint.ts'
import type { Issuer } from '#pki/issuance/issue.ts'
import { PROFILES, type Profile } from '#pki/issuance/profile.ts'
import { assembleCertificate, commonName, type Template } from '#pki/issuance/tbs.ts'
import { parseTrustDomain } from '#shared/identity/names.ts'
import { parseCertificate } from '#shared/x509/certificate.ts'
import { der, integer, oid, sequence, time } from '#shared/x509/der-writer.ts'
import { rawSignature } from '#shared/x509/ecdsa-signature.ts'
import { OID } from '#shared/x509/oid.ts'
import type { ChainRefusal } from '#shared/x509/path.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { extension, rawCertificate, wrap } from '#test/support/raw-certificate.ts'
import { makeIntermediate, makeLeaf, makeRoot, makeTestPki, type TestPki } from '#test/support/test-pki.ts'

const NOW = Date.UTC(2026, 10, 22, 12)
const URI = 'spiffe://mesh.example/node/n1'
const HOUR = 3_600_000

let pki: TestPki
let validator: SvidValidator
before(async () => {
  pki = await makeTestPki({ now: NOW })
  validator = new SvidValidator(pki.bundle)
})

const refusal = (reason: ChainRefusal): object => ({ code: 'ZT-401-CERT', details: { reason } })
const leafOf = (issuer: Issuer, change: Partial<Template> = {}, uri: string = URI): Uint8Array[] => [
  makeLeaf(issuer, { uri, at: NOW }, change).certificate.der,
  issuer.certificate.der,
]
const profile = (change: Partial<Profile>): Partial<Template> => ({
  profile: { ...PROFILES.svid, ...change },
})
const intermediate = (change: Partial<Template>): Issuer =>
  makeIntermediate('workload-ca', { root: pki.root, trustDomain: pki.trustDomain, at: NOW }, change)

describe('svid validator', () => {
  it('says whose a chain is', () => {
    const identity = pki.identity('/node/n1')
    const svid = validator.validate(identity.chain, NOW)
    assert.equal(svid.id, URI)
    assert.equal(svid.thumbprint, identity.thumbprint)
    assert.equal(svid.notAfter, NOW + 300_000)
    assert.equal(svid.issuerThumbprint, pki.workload.certificate.thumbprint)
    assert.equal(svid.publicKey.type, 'public')
  })

  it('takes both ends of the validity, to the second', () => {
    const { chain, notBefore, notAfter } = pki.identity('/node/n1')
    assert.ok(validator.validate(chain, notBefore))
    assert.ok(validator.validate(chain, notAfter + 999))
    assert.throws(() => validator.validate(chain, notBefore - 1), refusal('not-yet-valid'))
    assert.throws(() => validator.validate(chain, notAfter + 1000), refusal('expired'))
  })

  it('looks at the time of what it remembers', () => {
    const { chain, notAfter } = pki.identity('/node/n2')
    const fresh = new SvidValidator(pki.bundle)
    assert.ok(fresh.validate(chain, NOW))
    assert.throws(() => fresh.validate(chain, notAfter + 1000), refusal('expired'))
    assert.throws(() => fresh.validate(chain, Number.NaN), refusal('not-yet-valid'))
  })

  it('refuses a leaf that outlives its intermediate once that is over', () => {
    const chain = leafOf(pki.workload, { notAfter: NOW + 24 * HOUR })
    assert.throws(() => validator.validate(chain, NOW + 13 * HOUR), refusal('expired'))
  })

  const chains: Record<string, [ChainRefusal, () => Uint8Array[]]> = {
    'no certificate': ['chain-length', () => []],
    'a leaf alone': ['chain-length', () => leafOf(pki.workload).slice(0, 1)],
    'the root sent along': ['chain-length', () => [...leafOf(pki.workload), pki.root.certificate.der]],
    'bytes that are no certificate': ['malformed', () => [Uint8Array.of(1), pki.workload.certificate.der]],
    'the chain upside down': ['untrusted', () => leafOf(pki.workload).toReversed()],
    'a leaf in the place of the intermediate': [
      'untrusted',
      () => {
        const [leaf = new Uint8Array()] = leafOf(pki.workload)
        return [leaf, leaf]
      },
    ],
    'another intermediate than the issuer': [
      'untrusted',
      () => [leafOf(pki.workload)[0] ?? new Uint8Array(), pki.infra.certificate.der],
    ],
    'an intermediate under a root of the same name': [
      'untrusted',
      () => {
        const root = makeRoot(pki.trustDomain, NOW)
        return leafOf(makeIntermediate('workload-ca', { root, trustDomain: pki.trustDomain, at: NOW }))
      },
    ],
    'an intermediate that claims the key of the root': [
      'signature',
      () => {
        const root = makeRoot(pki.trustDomain, NOW)
        const change = { issuerKeyId: pki.root.certificate.subjectKeyId ?? new Uint8Array() }
        return leafOf(
          makeIntermediate('workload-ca', { root, trustDomain: pki.trustDomain, at: NOW }, change),
        )
      },
    ],
    'a leaf signed with another key': ['signature', () => leafOf({ ...pki.workload, key: pki.infra.key })],
    'an svid that signs another': [
      'untrusted',
      () => leafOf(makeLeaf(pki.workload, { uri: URI, at: NOW }, { subject: commonName('n1') })),
    ],
    'an intermediate below an intermediate': [
      'untrusted',
      () => {
        const second = makeIntermediate('workload-ca', {
          root: pki.root,
          trustDomain: pki.trustDomain,
          at: NOW,
        })
        const below = makeLeaf(
          second,
          { uri: 'spiffe://mesh.example', at: NOW },
          { profile: { ...PROFILES['workload-ca'], issuerCurve: 'P-256' }, subject: commonName('below') },
        )
        return leafOf({ certificate: below.certificate, key: below.key })
      },
    ],
  }
  for (const [what, [reason, make]] of Object.entries(chains)) {
    it(`refuses ${what}`, () => {
      assert.throws(() => validator.validate(make(), NOW), refusal(reason))
    })
  }

  const leaves: Record<string, [ChainRefusal, Partial<Template>]> = {
    'that is an authority': ['leaf-is-ca', profile({ ca: { pathLen: 0, constrained: false } })],
    'that may sign certificates': ['key-usage', profile({ keyUsage: ['digitalSignature', 'keyCertSign'] })],
    'that may sign crls': ['key-usage', profile({ keyUsage: ['digitalSignature', 'cRLSign'] })],
    'that may not sign': ['key-usage', profile({ keyUsage: ['keyAgreement'] })],
    'for servers only': ['extended-key-usage', profile({ extendedKeyUsage: [OID.serverAuth] })],
    'for clients only': ['extended-key-usage', profile({ extendedKeyUsage: [OID.clientAuth] })],
    'for something else': ['extended-key-usage', profile({ extendedKeyUsage: ['2.5.29.37.0'] })],
    'of another trust domain': [
      'name-constraints',
      { names: { uri: 'spiffe://other.example/node/n1', dns: [], ips: [] } },
    ],
    'with a host name, although it is a workload': [
      'name-constraints',
      { names: { uri: URI, dns: ['hub.mesh.example'], ips: [] } },
    ],
    'with the hub as its host name': [
      'name-constraints',
      { names: { uri: URI, dns: ['spiffe://mesh.example/hub/h1'], ips: [] } },
    ],
    'with an address, although it is a workload': [
      'name-constraints',
      { names: { uri: URI, dns: [], ips: [Uint8Array.of(127, 0, 0, 1)] } },
    ],
    'of a web address': ['spiffe-id', { names: { uri: 'https://mesh.example/node/n1', dns: [], ips: [] } }],
    'without a path': ['spiffe-id', { names: { uri: 'spiffe://mesh.example', dns: [], ips: [] } }],
    'with a root path': ['spiffe-id', { names: { uri: 'spiffe://mesh.example/', dns: [], ips: [] } }],
    'with a trailing slash': ['spiffe-id', { names: { uri: `${URI}/`, dns: [], ips: [] } }],
    'with a path that climbs': [
      'spiffe-id',
      { names: { uri: 'spiffe://mesh.example/node/../hub/h1', dns: [], ips: [] } },
    ],
    'with a query': ['spiffe-id', { names: { uri: `${URI}?x=1`, dns: [], ips: [] } }],
    'with a port': ['spiffe-id', { names: { uri: 'spiffe://mesh.example:443/node/n1', dns: [], ips: [] } }],
    'with an encoded letter': [
      'spiffe-id',
      { names: { uri: 'spiffe://mesh.example/node/%6e1', dns: [], ips: [] } },
    ],
    'with the trust domain in upper case': [
      'spiffe-id',
      { names: { uri: 'spiffe://MESH.example/node/n1', dns: [], ips: [] } },
    ],
    'not valid yet': ['not-yet-valid', { notBefore: NOW + 1000 }],
    'that expired': ['expired', { notAfter: NOW - 1000 }],
    'for a P-384 key': ['algorithm', { spki: new Uint8Array() }],
  }
  for (const [what, [reason, change]] of Object.entries(leaves)) {
    it(`refuses a leaf ${what}`, () => {
      const bent = change.spki === undefined ? change : { spki: pki.root.certificate.spki }
      assert.throws(() => validator.validate(leafOf(pki.workload, bent), NOW), refusal(reason))
    })
  }

  it('takes a leaf without extended key usage: SPIFFE X509-SVID §4.4 only forbids half of it', () => {
    assert.equal(validator.validate(leafOf(pki.workload, profile({ extendedKeyUsage: [] })), NOW).id, URI)
  })

  const raw = (...extensions: Uint8Array[]): Uint8Array[] => {
    const bytes = rawCertificate(
      {
        issuer: pki.workload.certificate.subjectDer,
        validity: sequence(time(NOW), time(NOW + 60_000)),
        extensions: wrap(...extensions),
      },
      pki.workload.key,
    )
    return [bytes, pki.workload.certificate.der]
  }
  const uriName = (text: string): Uint8Array => der(0x86, Buffer.from(text))
  const san = (...names: Uint8Array[]): Uint8Array => extension(OID.subjectAltName, sequence(...names), true)
  const usage = (isCritical: boolean): Uint8Array =>
    extension(OID.keyUsage, Uint8Array.of(3, 2, 7, 0x80), isCritical)

  const bare: Record<string, [ChainRefusal, () => Uint8Array[]]> = {
    'two uri names': [
      'uri-san',
      () => raw(san(uriName(URI), uriName('spiffe://mesh.example/hub/h1')), usage(true)),
    ],
    'the same uri name twice': ['uri-san', () => raw(san(uriName(URI), uriName(URI)), usage(true))],
    'no uri name': [
      'uri-san',
      () =>
        raw(
          extension('1.2.3', Uint8Array.of(1)),
          usage(true),
          extension(OID.subjectAltName, sequence(der(0xa4, sequence())), true),
        ),
    ],
    'a directory name beside the uri': [
      'uri-san',
      () => raw(san(uriName(URI), der(0xa4, sequence())), usage(true)),
    ],
    'no alternative name': ['subject', () => raw(usage(true))],
    'an alternative name that is not critical beside an empty subject': [
      'subject',
      () => raw(extension(OID.subjectAltName, sequence(uriName(URI))), usage(true)),
    ],
    'no key usage': ['key-usage', () => raw(san(uriName(URI)))],
    'key usage that is not critical': ['key-usage', () => raw(san(uriName(URI)), usage(false))],
    'a critical extension that is not understood': [
      'unknown-critical',
      () =>
        raw(
          san(uriName(URI)),
          usage(true),
          extension('2.5.29.36', sequence(integer(Uint8Array.of(1))), true),
        ),
    ],
  }
  for (const [what, [reason, make]] of Object.entries(bare)) {
    it(`refuses a leaf with ${what}`, () => {
      assert.throws(() => validator.validate(make(), NOW), refusal(reason))
    })
  }

  it('takes a leaf with an extension that is not understood and not critical', () => {
    assert.equal(
      validator.validate(raw(san(uriName(URI)), usage(true), extension('1.2.3', Uint8Array.of(1))), NOW).id,
      URI,
    )
  })

  it('refuses an e-mail address in a subject, where the intermediate excludes them all', () => {
    const subject = sequence(
      der(0x31, sequence(oid(OID.emailAddress), der(0x16, Buffer.from('a@mesh.example')))),
    )
    assert.throws(
      () => validator.validate(leafOf(pki.workload, { subject }), NOW),
      refusal('name-constraints'),
    )
  })

  const ca = (change: object): Partial<Template> => ({ profile: { ...PROFILES['workload-ca'], ...change } })
  const intermediates: Record<string, [ChainRefusal, () => Partial<Template>]> = {
    'that is no authority': ['not-a-ca', () => ({ profile: { ...PROFILES.svid, issuerCurve: 'P-384' } })],
    'that may not sign certificates': ['key-usage', () => ca({ keyUsage: ['cRLSign'] })],
    'that may have another below it': ['path-length', () => ca({ ca: { pathLen: 1, constrained: true } })],
    'that expired': ['expired', () => ({ notAfter: NOW - 1000 })],
    'that is not valid yet': ['not-yet-valid', () => ({ notBefore: NOW + 1000 })],
    'constrained to another trust domain': [
      'name-constraints',
      () => ({ constraints: workloadConstraints(parseTrustDomain('other.example')) }),
    ],
    'named with another trust domain': [
      'trust-domain',
      () => ({ names: { uri: 'spiffe://other.example', dns: [], ips: [] } }),
    ],
    'named with a path': [
      'trust-domain',
      () => ({ names: { uri: 'spiffe://mesh.example/ca', dns: [], ips: [] } }),
    ],
    'of another issuer name': ['untrusted', () => ({ issuer: commonName('somebody') })],
  }
  for (const [what, [reason, change]] of Object.entries(intermediates)) {
    it(`refuses an intermediate ${what}`, () => {
      assert.throws(() => validator.validate(leafOf(intermediate(change())), NOW), refusal(reason))
    })
  }

  it('refuses a leaf of another trust domain under an unconstrained intermediate', () => {
    const loose = makeLeaf(
      pki.root,
      { uri: 'spiffe://mesh.example', at: NOW, profile: 'workload-ca' },
      { subject: commonName('loose') },
    )
    const chain = leafOf(loose, {}, 'spiffe://other.example/node/n1')
    assert.throws(() => validator.validate(chain, NOW), refusal('trust-domain'))
  })

  it('refuses everything once the bundle is empty', () => {
    const emptied = new SvidValidator({ ...pki.bundle, roots: [] })
    assert.throws(() => emptied.validate(leafOf(pki.workload), NOW), refusal('untrusted'))
  })

  it('refuses everything once the root is over', () => {
    const chain = leafOf(pki.workload)
    const root = parseCertificate(pki.root.certificate.der)
    const over = new SvidValidator({ ...pki.bundle, roots: [{ ...root, notAfter: NOW - 1000 }] })
    assert.throws(() => over.validate(chain, NOW), refusal('expired'))
  })

  it('takes a second root as long as the bundle has it', async () => {
    const other = await makeTestPki({ now: NOW })
    const both = new SvidValidator({ ...pki.bundle, roots: [pki.root.certificate, other.root.certificate] })
    assert.ok(both.validate(other.identity('/node/n1').chain, NOW))
    both.replaceBundle({ ...pki.bundle, sequence: 2, roots: [pki.root.certificate] })
    assert.throws(() => both.validate(other.identity('/node/n1').chain, NOW), refusal('untrusted'))
  })

  it('feels a revoked intermediate at once, in chains that it knows too', () => {
    const chain = leafOf(pki.workload)
    const holder = new SvidValidator(pki.bundle)
    assert.ok(holder.validate(chain, NOW))
    holder.replaceBundle({
      ...pki.bundle,
      sequence: 2,
      revokedIntermediates: [pki.workload.certificate.keyId],
    })
    assert.throws(() => holder.validate(chain, NOW), refusal('revoked-intermediate'))
    assert.ok(holder.validate(pki.identity('/hub/h1').chain, NOW))
  })

  it('never takes an older bundle, or one of another trust domain', () => {
    const holder = new SvidValidator({ ...pki.bundle, sequence: 5 })
    assert.throws(() => holder.replaceBundle({ ...pki.bundle, sequence: 4 }), { code: 'ZT-401-BUNDLE' })
    assert.throws(
      () => holder.replaceBundle({ ...pki.bundle, sequence: 6, trustDomain: parseTrustDomain('x.example') }),
      { code: 'ZT-401-BUNDLE' },
    )
    assert.throws(() => holder.replaceBundle({ ...pki.bundle, sequence: 5, roots: [] }), {
      code: 'ZT-401-BUNDLE',
    })
    holder.replaceBundle({ ...pki.bundle, sequence: 5 })
    assert.equal(holder.bundle.sequence, 5)
  })

  it('refuses the other signature that verifies for every ecdsa signature', () => {
    const [leaf = new Uint8Array(), issuer = new Uint8Array()] = leafOf(pki.workload)
    const { tbs, signature } = parseCertificate(leaf)
    const raw = rawSignature(signature, 'P-256')
    const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
    const s = order - BigInt(`0x${Buffer.from(raw.subarray(32)).toString('hex')}`)
    const twin = sequence(
      integer(raw.subarray(0, 32)),
      integer(Buffer.from(s.toString(16).padStart(64, '0'), 'hex')),
    )
    const key = createPublicKey({
      key: Buffer.from(pki.workload.certificate.spki),
      format: 'der',
      type: 'spki',
    })
    assert.ok(verify('sha256', tbs, key, twin))
    assert.throws(
      () => validator.validate([assembleCertificate(tbs, 'P-256', twin), issuer], NOW),
      refusal('signature'),
    )
  })

  it('refuses a forged chain as often as it comes', () => {
    const forged = leafOf({ ...pki.workload, key: pki.infra.key })
    assert.throws(() => validator.validate(forged, NOW), refusal('signature'))
    assert.throws(() => validator.validate(forged, NOW), refusal('signature'))
  })

  it('does not take a known leaf under another intermediate', () => {
    const chain = leafOf(pki.workload)
    assert.ok(validator.validate(chain, NOW))
    const other = intermediate({}).certificate.der
    assert.throws(() => validator.validate([chain[0] ?? new Uint8Array(), other], NOW), refusal('untrusted'))
  })
})
