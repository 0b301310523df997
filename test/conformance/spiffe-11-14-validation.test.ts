// SPIFFE X509-SVID §5 and RFC 5280 §6, as a validator: items 11 to 14, for other trust domains' SVIDs, whose shapes are
// many. Our own have one shape, and their refusals are in test/unit/shared/x509/svid.test.ts.
import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { parseTrustDomain } from '#shared/identity/names.ts'
import { parseBundleDocument, type BundleDocument } from '#shared/spiffe/bundle-document.ts'
import { verifyForeignSvid, type ForeignSvid } from '#shared/spiffe/foreign-svid.ts'
import { sequence } from '#shared/x509/der-writer.ts'
import type { ChainRefusal } from '#shared/x509/path.ts'
import { OID } from '#shared/x509/oid.ts'
import { accepts, refuses } from '#test/support/conformance.ts'
import {
  bundleText,
  foreignCa,
  foreignCertificate,
  foreignLeaf,
  x509Jwk,
  type CertificateWish,
  type ForeignCertificate,
  type KeyKind,
} from '#test/support/foreign-pki.ts'
import { extension } from '#test/support/raw-certificate.ts'

const NOW = Date.UTC(2026, 10, 22, 12)
const HOUR = 3_600_000
const TD = 'other.example'
const ID = `spiffe://${TD}/workload`
const at = { at: NOW } as const

const root = foreignCa(TD, at)
const bundle = (authorities: readonly ForeignCertificate[] = [root], domain = TD): BundleDocument =>
  parseBundleDocument(bundleText(authorities.map((one) => x509Jwk(one))), parseTrustDomain(domain))
const refusal = (reason: ChainRefusal): object => ({ code: 'ZT-401-CERT', details: { reason } })

function judge(chain: readonly ForeignCertificate[], by: BundleDocument = bundle(), when = NOW): ForeignSvid {
  return verifyForeignSvid(
    chain.map((one) => one.der),
    (domain) => (domain === by.trustDomain ? by : undefined),
    when,
  )
}

const below = (
  issuer: ForeignCertificate,
  name: string,
  wish: Partial<CertificateWish> = {},
): ForeignCertificate => foreignCa(TD, { ...at, issuer, name, ...wish })
const leaf = (issuer: ForeignCertificate, wish: Partial<CertificateWish> = {}): ForeignCertificate =>
  foreignLeaf(issuer, ID, { ...at, ...wish })

// §5.1: "MUST follow RFC 5280 path validation semantics."
describe('path validation', () => {
  accepts(11, 'an authority that signs leaves itself', () => assert.equal(judge([leaf(root)]).id, ID))

  for (const kind of ['P-256', 'P-384', 'P-521', 'rsa'] as const satisfies KeyKind[])
    accepts(11, `authorities and leaves with ${kind} keys`, () => {
      const anchor = foreignCa(TD, { ...at, kind })
      const middle = below(anchor, 'middle', { kind })
      assert.equal(judge([leaf(middle, { kind }), middle], bundle([anchor])).id, ID)
    })

  accepts(11, 'three intermediates, in any order', () => {
    const a = below(root, 'a')
    const b = below(a, 'b', { kind: 'rsa' })
    const c = below(b, 'c', { kind: 'P-384' })
    assert.equal(judge([leaf(c), a, c, b]).id, ID)
  })

  accepts(11, 'a root that is sent along', () => assert.equal(judge([leaf(root), root]).id, ID))

  accepts(11, 'the right one of two authorities of one name', () => {
    const twin = foreignCa(TD, at)
    assert.equal(judge([leaf(root)], bundle([twin, root])).id, ID)
  })

  accepts(11, 'an intermediate that has as many below it as its path length says', () => {
    const a = below(root, 'a', { pathLen: 1 })
    const b = below(a, 'b', { pathLen: 0 })
    assert.equal(judge([leaf(b), b, a]).id, ID)
  })

  accepts(11, 'an authority that renewed itself is not counted (RFC 5280 §6.1.4 l)', () => {
    const a = below(root, 'a', { pathLen: 0 })
    const again = below(a, 'a', {})
    assert.equal(judge([leaf(again), again, a]).id, ID)
  })

  const refused: Record<string, [ChainRefusal, () => ForeignCertificate[]]> = {
    'a leaf that has expired': ['expired', () => [leaf(root, { notAfter: NOW - 1000 })]],
    'a leaf that is not valid yet': ['not-yet-valid', () => [leaf(root, { notBefore: NOW + 1000 })]],
    'an intermediate that has expired': [
      'expired',
      () => {
        const a = below(root, 'a', { notAfter: NOW - 1000 })
        return [leaf(a), a]
      },
    ],
    'a leaf signed with another key': ['signature', () => [leaf(root, { signer: foreignCa(TD, at).key })]],
    'an intermediate signed with another key': [
      'signature',
      () => {
        const a = below(root, 'a', { signer: foreignCa(TD, at).key })
        return [leaf(a), a]
      },
    ],
    'an issuer that is no authority': [
      'not-a-ca',
      () => {
        const a = below(root, 'a', { isCa: false })
        return [leaf(a), a]
      },
    ],
    'an issuer without basic constraints': [
      'not-a-ca',
      () => {
        const a = foreignCertificate({ ...at, issuer: root, name: 'a', usage: ['keyCertSign'] })
        return [leaf(a), a]
      },
    ],
    'an issuer that may not sign certificates': [
      'key-usage',
      () => {
        const a = below(root, 'a', { usage: ['cRLSign'] })
        return [leaf(a), a]
      },
    ],
    'an issuer without a key usage': [
      'key-usage',
      () => {
        const a = foreignCertificate({ ...at, issuer: root, name: 'a', isCa: true })
        return [leaf(a), a]
      },
    ],
    'a workload that poses as an authority': [
      'not-a-ca',
      () => {
        const a = leaf(root, { name: 'a' })
        return [leaf(a), a]
      },
    ],
    'one more intermediate than the path length says': [
      'path-length',
      () => {
        const a = below(root, 'a', { pathLen: 0 })
        const b = below(a, 'b')
        return [leaf(b), b, a]
      },
    ],
    'a name outside of what an intermediate may name': [
      'name-constraints',
      () => {
        const a = below(root, 'a', { uris: [], permittedUris: ['elsewhere.example'] })
        return [leaf(a), a]
      },
    ],
    'a name outside of what the root may name, whatever the intermediate says': [
      'name-constraints',
      () => {
        const a = below(constrained, 'a', { uris: [] })
        return [leaf(a), a]
      },
    ],
    'a critical extension that nothing here knows, in a leaf': [
      'unknown-critical',
      () => [leaf(root, { extensions: [extension('1.2.3.4', sequence(), true)] })],
    ],
    'a critical extension that nothing here knows, in an intermediate': [
      'unknown-critical',
      () => {
        const a = below(root, 'a', { extensions: [extension('1.2.3.4', sequence(), true)] })
        return [leaf(a), a]
      },
    ],
    'a gap in the chain': ['untrusted', () => [leaf(below(below(root, 'a'), 'b'))]],
    'a foreign root of the same name': ['untrusted', () => [leaf(foreignCa(TD, at))]],
    'a key that is too short': ['algorithm', () => [leaf(root, { kind: 'rsa-1024' })]],
    'a kind of signature that is not taken': [
      'algorithm',
      () => {
        const a = below(root, 'a', { kind: 'ed25519' })
        return [leaf(a), a]
      },
    ],
    'nine certificates': ['chain-length', () => [leaf(root), ...Array.from({ length: 8 }, () => root)]],
    'no certificate': ['chain-length', () => []],
  }
  const constrained = foreignCa(TD, { ...at, name: 'constrained', permittedUris: ['elsewhere.example'] })
  for (const [what, [reason, make]] of Object.entries(refused))
    refuses(11, what, () => assert.throws(() => judge(make(), bundle([root, constrained])), refusal(reason)))

  refuses(11, 'a root that has expired, or is not valid yet', () => {
    assert.throws(
      () => judge([leaf(root, { notAfter: NOW + 99 * HOUR })], bundle(), NOW + 25 * HOUR),
      refusal('expired'),
    )
    const later = foreignCa(TD, { ...at, notBefore: NOW + HOUR })
    assert.throws(() => judge([leaf(later)], bundle([later])), refusal('not-yet-valid'))
  })

  refuses(11, 'a maze of certificates of one name, in bounded time', () => {
    const maze = Array.from({ length: 7 }, () => foreignCa(TD, { ...at, name: 'm', keyIds: false }))
    const end = foreignLeaf(maze[0] ?? root, ID, { ...at, keyIds: false })
    const anchors = Array.from({ length: 8 }, () => foreignCa(TD, { ...at, name: 'm', keyIds: false }))
    assert.throws(() => judge([end, ...maze], bundle(anchors)), refusal('signature'))
  })
})

// §5.2: "the validator MUST ensure that the cA field in the basic constraints extension is set to false, and that
// keyCertSign and cRLSign are not set […], that the scheme of the SPIFFE ID is set to spiffe, and […] a non-root path
// component. SVIDs containing more than one URI SAN MUST be rejected."
describe('leaf validation', () => {
  accepts(12, 'one spiffe id beside names of other kinds (§2)', () => {
    const registeredId = Uint8Array.of(0x88, 2, 0x2a, 3)
    assert.equal(judge([leaf(root, { dns: ['a.example'], otherNames: [registeredId] })]).id, ID)
  })
  accepts(12, 'a leaf without purposes, and without a subject', () => {
    const bare = foreignCertificate({
      ...at,
      issuer: root,
      uris: [ID],
      isCa: false,
      usage: ['digitalSignature'],
    })
    assert.equal(judge([bare]).id, ID)
  })

  const refused: Record<string, [ChainRefusal, Partial<CertificateWish>]> = {
    'a certification authority': ['leaf-is-ca', { isCa: true }],
    keyCertSign: ['key-usage', { usage: ['digitalSignature', 'keyCertSign'] }],
    cRLSign: ['key-usage', { usage: ['digitalSignature', 'cRLSign'] }],
    'no digitalSignature (§4.3)': ['key-usage', { usage: ['keyAgreement'] }],
    'a key usage that is not critical (§4.3)': ['key-usage', { usageIsCritical: false }],
    'one purpose alone (§4.4)': ['extended-key-usage', { eku: [OID.serverAuth] }],
    'another scheme': ['spiffe-id', { uris: ['https://other.example/workload'] }],
    'a root path': ['spiffe-id', { uris: [`spiffe://${TD}/`] }],
    'no path': ['spiffe-id', { uris: [`spiffe://${TD}`] }],
    'a spiffe id that is none': ['spiffe-id', { uris: [`spiffe://${TD}/a/../b`] }],
    'no uri name': ['uri-san', { uris: [], dns: ['a.example'] }],
    'two uri names': ['uri-san', { uris: [ID, `spiffe://${TD}/b`] }],
    'a second uri name of another scheme': ['uri-san', { uris: [ID, 'https://other.example/'] }],
  }
  for (const [what, [reason, wish]] of Object.entries(refused))
    refuses(12, what, () => assert.throws(() => judge([leaf(root, wish)]), refusal(reason)))

  refuses(12, 'an authority of the path whose spiffe id has a path (§3.2)', () => {
    const a = below(root, 'a', { uris: [`spiffe://${TD}/authority`] })
    assert.throws(() => judge([leaf(a), a]), refusal('spiffe-id'))
  })
})

// Federation §7.3: "the verifier must use only the bundle for the trust domain the SPIFFE ID resides in."
describe('trust domain', () => {
  const third = foreignCa('third.example', at)
  const known = new Map([
    [TD, bundle()],
    ['third.example', bundle([third], 'third.example')],
    ['10.0.0.1', bundle([foreignCa('10.0.0.1', at)], '10.0.0.1')],
  ])
  const judgeAmong = (chain: readonly ForeignCertificate[]): string =>
    verifyForeignSvid(
      chain.map((one) => one.der),
      (domain) => known.get(domain),
      NOW,
    ).id

  accepts(13, 'each by its own bundle', () => {
    assert.equal(judgeAmong([leaf(root)]), ID)
    assert.equal(judgeAmong([foreignLeaf(third, 'spiffe://third.example/a', at)]), 'spiffe://third.example/a')
  })

  accepts(2, 'one that looks like an address is judged like any other', () => {
    const ca = foreignCa('10.0.0.1', at)
    const chain = [foreignLeaf(ca, 'spiffe://10.0.0.1/a', at)]
    assert.equal(judge(chain, bundle([ca], '10.0.0.1')).id, 'spiffe://10.0.0.1/a')
  })

  refuses(13, 'one that another trust domain signed, although that is known', () => {
    assert.throws(() => judgeAmong([foreignLeaf(third, ID, at)]), refusal('untrusted'))
  })

  refuses(13, 'one of a trust domain that is not known', () => {
    const chain = [foreignLeaf(root, 'spiffe://unknown.example/a', at)]
    assert.throws(() => judgeAmong(chain), refusal('trust-domain'))
  })

  refuses(13, "an intermediate of another trust domain's root", () => {
    const a = foreignCa(TD, { ...at, issuer: third, name: 'a' })
    assert.throws(() => judgeAmong([leaf(a), a]), refusal('untrusted'))
  })
})
