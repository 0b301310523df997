// What the hub's authorities issue, and what they refuse to whoever asks.
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { infraConstraints } from '#pki/issuance/constraint.ts'
import { parseHostName, parseIpAddress } from '#pki/issuance/host-name.ts'
import { issueInfraLeaf, issueSvid, type InfraOrder, type SvidOrder } from '#pki/issuance/issue.ts'
import { PROFILES } from '#pki/issuance/profile.ts'
import { lintCertificate } from '#pki/lint/lint.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import { generateP256 } from '#shared/jose/keys.ts'
import { parseCertificate, type Certificate } from '#shared/x509/certificate.ts'
import { createCsr, verifyCsr } from '#shared/x509/csr.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { makeIntermediate, makeTestPki, type TestPki } from '#test/support/test-pki.ts'

const NOW = Date.UTC(2026, 10, 22, 12)
const CSR = verifyCsr(createCsr(generateP256()))

let pki: TestPki
before(async () => {
  pki = await makeTestPki({ now: NOW })
})

const order = (change: Partial<SvidOrder> = {}): SvidOrder => ({
  issuer: pki.workload,
  csr: CSR,
  id: parseSpiffeId('spiffe://mesh.example/node/n1'),
  ttlMs: 300_000,
  now: NOW,
  ...change,
})
const infraOrder = (change: Partial<InfraOrder> = {}): InfraOrder => ({
  ...order({ issuer: pki.infra, id: parseSpiffeId('spiffe://mesh.example/hub/h1') }),
  dnsNames: ['localhost'],
  ips: ['127.0.0.1'],
  ...change,
})
const leafOf = (chain: readonly Uint8Array[]): Certificate => parseCertificate(chain[0] ?? new Uint8Array())

describe('issued svid', () => {
  it('keeps every rule of its profile', () => {
    const { chain } = issueSvid(order())
    lintCertificate(leafOf(chain), { profile: PROFILES.svid, trustDomain: pki.trustDomain })
  })

  it('is for the requested key and the ordered identity, and for nothing else', () => {
    const { chain, serial } = issueSvid(order())
    const leaf = leafOf(chain)
    assert.deepEqual(Buffer.from(leaf.spki), Buffer.from(CSR.spki))
    assert.deepEqual(leaf.sans, {
      uris: ['spiffe://mesh.example/node/n1'],
      dns: [],
      emails: [],
      ips: [],
      other: [],
    })
    assert.equal(leaf.serial, serial)
    assert.equal(new SvidValidator(pki.bundle).validate(chain, NOW).id, 'spiffe://mesh.example/node/n1')
  })

  it('begins 30 s before it was issued, for clocks that are behind, and ends with its lifetime', () => {
    const { notBefore, notAfter } = issueSvid(order({ ttlMs: 60_000, now: NOW + 999 }))
    assert.equal(notBefore, NOW - 30_000)
    assert.equal(notAfter, NOW + 60_000)
  })

  it('never outlives its intermediate, and never begins before it', () => {
    const { certificate } = pki.workload
    const late = issueSvid(order({ now: certificate.notAfter - 1000 }))
    assert.equal(late.notAfter, certificate.notAfter)
    const early = issueSvid(order({ now: certificate.notBefore }))
    assert.equal(early.notBefore, certificate.notBefore)
  })

  it('has another serial number every time', () => {
    const serials = Array.from({ length: 100 }, () => issueSvid(order()).serial)
    assert.equal(new Set(serials).size, 100)
  })

  const refused: Record<string, [string, () => Partial<SvidOrder>]> = {
    'a hub': ['ZT-422-SPIFFE-ID', () => ({ id: parseSpiffeId('spiffe://mesh.example/hub/h1') })],
    'a broker': ['ZT-422-SPIFFE-ID', () => ({ id: parseSpiffeId('spiffe://mesh.example/nats/n1') })],
    'a path that stands for nothing': [
      'ZT-422-SPIFFE-ID',
      () => ({ id: parseSpiffeId('spiffe://mesh.example/x') }),
    ],
    'another trust domain': [
      'ZT-422-SPIFFE-ID',
      () => ({ id: parseSpiffeId('spiffe://other.example/node/n1') }),
    ],
    'over five minutes': ['ZT-422-SCHEMA', () => ({ ttlMs: 300_001 })],
    'no time': ['ZT-422-SCHEMA', () => ({ ttlMs: 0 })],
    'a time that is no number': ['ZT-422-SCHEMA', () => ({ ttlMs: Number.NaN })],
    'a time before the intermediate': [
      'ZT-503-LADDER',
      () => ({ now: pki.workload.certificate.notBefore - 1 }),
    ],
    'a time after the intermediate': ['ZT-503-LADDER', () => ({ now: pki.workload.certificate.notAfter })],
  }
  for (const [what, [code, change]] of Object.entries(refused)) {
    it(`is refused for ${what}`, () => {
      assert.throws(() => issueSvid(order(change())), { code })
    })
  }
})

describe('issued infrastructure certificate', () => {
  it('keeps every rule of its profile and carries the names of its host', () => {
    const { chain } = issueInfraLeaf(infraOrder({ ips: ['127.0.0.1', '::1'], ttlMs: 6 * 3_600_000 }))
    const leaf = leafOf(chain)
    lintCertificate(leaf, { profile: PROFILES['infra-leaf'], trustDomain: pki.trustDomain })
    assert.deepEqual(leaf.sans.dns, ['localhost'])
    assert.deepEqual(
      leaf.sans.ips.map((address) => address.length),
      [4, 16],
    )
    assert.equal(new SvidValidator(pki.bundle).validate(chain, NOW).id, 'spiffe://mesh.example/hub/h1')
  })

  const refused: Record<string, [string, () => Partial<InfraOrder>]> = {
    'a node': ['ZT-422-SPIFFE-ID', () => ({ id: parseSpiffeId('spiffe://mesh.example/node/n1') })],
    'an operator': ['ZT-422-SPIFFE-ID', () => ({ id: parseSpiffeId('spiffe://mesh.example/operator/o') })],
    'a host that the ceremony did not list': ['ZT-422-NAME', () => ({ dnsNames: ['hub.example'] })],
    'an address that the ceremony did not list': ['ZT-422-NAME', () => ({ ips: ['127.0.0.2'] })],
    'a wildcard': ['ZT-422-NAME', () => ({ dnsNames: ['*.localhost'] })],
    'a host in upper case': ['ZT-422-NAME', () => ({ dnsNames: ['LOCALHOST'] })],
    'text that is no address': ['ZT-422-NAME', () => ({ ips: ['127.1'] })],
    'more than a day': ['ZT-422-SCHEMA', () => ({ ttlMs: 86_400_001 })],
    'a host name from the workload authority': ['ZT-422-NAME', () => ({ issuer: pki.workload })],
  }
  for (const [what, [code, change]] of Object.entries(refused)) {
    it(`is refused for ${what}`, () => {
      assert.throws(() => issueInfraLeaf(infraOrder(change())), { code })
    })
  }

  it('has no host name at all if the ceremony listed none', () => {
    const change = { constraints: infraConstraints(pki.trustDomain, { dns: [], ips: [] }) }
    const issuer = makeIntermediate(
      'infra-ca',
      { root: pki.root, trustDomain: pki.trustDomain, at: NOW },
      change,
    )
    assert.throws(() => issueInfraLeaf(infraOrder({ issuer, ips: [] })), { code: 'ZT-422-NAME' })
    assert.throws(() => issueInfraLeaf(infraOrder({ issuer, dnsNames: [] })), { code: 'ZT-422-NAME' })
    assert.ok(issueInfraLeaf(infraOrder({ issuer, dnsNames: [], ips: [] })))
  })
})

describe('host names and addresses', () => {
  for (const good of ['a', 'localhost', 'hub-1.mesh.example', '1a.example', `${'a'.repeat(63)}.b`]) {
    it(`take the name ${good.slice(0, 20)}`, () => {
      assert.equal(parseHostName(good), good)
    })
  }
  for (const bad of [
    '',
    '.',
    'a.',
    '.a',
    'a..b',
    '-a',
    'a-',
    'A',
    '*.a',
    'a_b',
    'a b',
    'a\n',
    '127.0.0.1',
    'a/b',
    `${'a'.repeat(64)}`,
    7,
    null,
  ]) {
    it(`refuse the name ${JSON.stringify(bad)}`, () => {
      assert.throws(() => parseHostName(bad), { code: 'ZT-422-NAME' })
    })
  }
  const addresses: Record<string, string> = {
    '127.0.0.1': '7f000001',
    '::1': `${'0'.repeat(31)}1`,
    '::': '0'.repeat(32),
    '2001:db8::8:0:1': '20010db8000000000000000800000001',
    'fe80:0:0:0:1:2:3:4': 'fe800000000000000001000200030004',
  }
  for (const [text, hex] of Object.entries(addresses)) {
    it(`read the address ${text}`, () => {
      assert.equal(Buffer.from(parseIpAddress(text)).toString('hex'), hex)
    })
  }
  for (const bad of [
    '',
    '127.0.0',
    '127.0.0.256',
    '127.0.0.1/8',
    '::1%lo',
    '::ffff:127.0.0.1',
    ':::',
    '1:2',
    '01.2.3.4',
    7,
  ]) {
    it(`refuse the address ${JSON.stringify(bad)}`, () => {
      assert.throws(() => parseIpAddress(bad), { code: 'ZT-422-NAME' })
    })
  }
})
