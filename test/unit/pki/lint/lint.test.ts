// Every rule has a certificate that breaks it and it alone.
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { before, describe, it } from 'node:test'
import { infraConstraints, workloadConstraints } from '#pki/issuance/constraint.ts'
import { keyIdentifier } from '#pki/issuance/extension.ts'
import { PROFILES, type Profile, type ProfileName } from '#pki/issuance/profile.ts'
import { buildTbs, commonName, EMPTY_NAME, serialNumber, type Template } from '#pki/issuance/tbs.ts'
import { lintCertificate, LintedTbs, RULES } from '#pki/lint/lint.ts'
import type { LintContext } from '#pki/lint/rule.ts'
import { generateP256 } from '#shared/jose/keys.ts'
import { parseTrustDomain } from '#shared/identity/names.ts'
import { parseCertificate } from '#shared/x509/certificate.ts'
import { extension, rawCertificate, SAN, wrap } from '#test/support/raw-certificate.ts'
import { makeRoot, makeTestPki, signTemplate, type TestPki } from '#test/support/test-pki.ts'

const NOW = Date.UTC(2026, 10, 22, 12)
const TD = parseTrustDomain('mesh.example')
const HOUR = 3_600_000
const SPKI = generateP256().spki
const ROOT = makeRoot(TD, NOW).certificate
const CONSTRAINTS = workloadConstraints(TD)

const CA: LintContext = { profile: PROFILES['workload-ca'], trustDomain: TD, constraints: CONSTRAINTS }
const LEAF: LintContext = { profile: PROFILES.svid, trustDomain: TD }

const ca = (change: Partial<Template> = {}): Template => ({
  profile: PROFILES['workload-ca'],
  serial: serialNumber(),
  issuer: ROOT.subjectDer,
  subject: commonName('ca'),
  notBefore: NOW - HOUR,
  notAfter: NOW + 25 * HOUR,
  spki: SPKI,
  names: { uri: 'spiffe://mesh.example', dns: [], ips: [] },
  constraints: CONSTRAINTS,
  issuerKeyId: keyIdentifier(ROOT.spki),
  ...change,
})
const leaf = (change: Partial<Template> = {}): Template => {
  const { constraints: _, ...template } = ca()
  return {
    ...template,
    profile: PROFILES.svid,
    subject: EMPTY_NAME,
    notBefore: NOW - 30_000,
    notAfter: NOW + 300_000,
    names: { uri: 'spiffe://mesh.example/node/n1', dns: [], ips: [] },
    ...change,
  }
}
const profile = (name: ProfileName, change: Partial<Profile>): Partial<Template> => ({
  profile: { ...PROFILES[name], ...change },
})

const QUORUM: LintContext = { ...CA, quorum: new Uint8Array(32) }

const BROKEN: readonly [string, string, () => Template, LintContext][] = [
  ['quorum', 'pins another one', () => ca({ quorum: new Uint8Array(32).fill(1) }), QUORUM],
  ['serial-number', 'is short', () => ca({ serial: Uint8Array.of(1, 2) }), CA],
  [
    'serial-number',
    'does not begin with 01',
    () => ca({ serial: Uint8Array.from([2, ...new Uint8Array(16).fill(3)]) }),
    CA,
  ],
  ['subject-key', 'is P-384', () => ca({ spki: ROOT.spki, issuerKeyId: new Uint8Array(20) }), CA],
  ['lifetime', 'is over 26 hours in an intermediate', () => ca({ notAfter: NOW + 25 * HOUR + 1000 }), CA],
  ['lifetime', 'ends before it begins', () => ca({ notAfter: NOW - 2 * HOUR }), CA],
  ['lifetime', 'is over five and a half minutes in an svid', () => leaf({ notAfter: NOW + 301_000 }), LEAF],
  [
    'basic-constraints',
    'allow one more authority',
    () => ca(profile('workload-ca', { ca: { pathLen: 1, constrained: true } })),
    CA,
  ],
  [
    'basic-constraints',
    'are in a leaf',
    () => leaf(profile('svid', { ca: { pathLen: 0, constrained: false } })),
    LEAF,
  ],
  [
    'key-usage',
    'is that of a leaf in an authority',
    () => ca(profile('workload-ca', { keyUsage: ['digitalSignature'] })),
    CA,
  ],
  [
    'key-usage',
    'has one bit more',
    () => leaf(profile('svid', { keyUsage: ['digitalSignature', 'keyAgreement'] })),
    LEAF,
  ],
  [
    'extended-key-usage',
    'is in an authority',
    () => ca(profile('workload-ca', { extendedKeyUsage: ['1.3.6.1.5.5.7.3.1'] })),
    CA,
  ],
  [
    'extended-key-usage',
    'is for servers only',
    () => leaf(profile('svid', { extendedKeyUsage: ['1.3.6.1.5.5.7.3.1'] })),
    LEAF,
  ],
  ['extended-key-usage', 'is missing in a leaf', () => leaf(profile('svid', { extendedKeyUsage: [] })), LEAF],
  [
    'spiffe-id',
    'has a path in an authority',
    () => ca({ names: { uri: 'spiffe://mesh.example/ca', dns: [], ips: [] } }),
    CA,
  ],
  [
    'spiffe-id',
    'is of another trust domain',
    () => ca({ names: { uri: 'spiffe://other.example', dns: [], ips: [] } }),
    CA,
  ],
  [
    'spiffe-id',
    'has no path in a leaf',
    () => leaf({ names: { uri: 'spiffe://mesh.example', dns: [], ips: [] } }),
    LEAF,
  ],
  [
    'spiffe-id',
    'of a leaf is of another trust domain',
    () => leaf({ names: { uri: 'spiffe://other.example/a', dns: [], ips: [] } }),
    LEAF,
  ],
  [
    'other-names',
    'are in an svid',
    () => leaf({ names: { uri: 'spiffe://mesh.example/a', dns: ['host'], ips: [] } }),
    LEAF,
  ],
  [
    'other-names',
    'are in an authority',
    () => ca({ names: { uri: 'spiffe://mesh.example', dns: [], ips: [new Uint8Array(4)] } }),
    CA,
  ],
  ['subject', 'is empty in an authority', () => ca({ subject: EMPTY_NAME }), CA],
  ['subject', 'is in an svid', () => leaf({ subject: commonName('n1') }), LEAF],
  ['issuer', 'is the subject itself', () => ca({ subject: ROOT.subjectDer }), CA],
  [
    'name-constraints',
    'are missing',
    () => {
      const { constraints: _, ...rest } = ca()
      return rest
    },
    CA,
  ],
  [
    'name-constraints',
    'are of another trust domain',
    () => ca({ constraints: workloadConstraints(parseTrustDomain('other.example')) }),
    CA,
  ],
  [
    'name-constraints',
    'permit a host',
    () => ca({ constraints: infraConstraints(TD, { dns: ['a'], ips: [] }) }),
    CA,
  ],
  [
    'name-constraints',
    'exclude less',
    () => ca({ constraints: { ...CONSTRAINTS, excluded: { ...CONSTRAINTS.excluded, dns: [] } } }),
    CA,
  ],
  ['name-constraints', 'are in a leaf', () => leaf({ constraints: CONSTRAINTS }), LEAF],
  ['key-identifiers', 'name its own key as the issuer', () => ca({ issuerKeyId: keyIdentifier(SPKI) }), CA],
  [
    'signature-algorithm',
    'is that of a smaller curve',
    () => ca(),
    { ...CA, profile: { ...CA.profile, issuerCurve: 'P-256' } },
  ],
]

describe('lint', () => {
  let pki: TestPki
  before(async () => {
    pki = await makeTestPki({ now: NOW })
  })

  it('passes what we make', () => {
    assert.ok(LintedTbs.check(buildTbs(ca()), CA))
    assert.ok(LintedTbs.check(buildTbs(leaf()), LEAF))
    lintCertificate(pki.root.certificate, { profile: PROFILES.root, trustDomain: TD })
    lintCertificate(pki.workload.certificate, CA)
  })

  for (const [name, what, template, context] of BROKEN) {
    it(`${name}: does not hold where it ${what}`, () => {
      const { issuerCurve } = template().profile
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: issuerCurve })
      const certificate = signTemplate(template(), privateKey)
      assert.equal(RULES.find((rule) => rule.name === name)?.holds(certificate, context), false)
      assert.throws(() => lintCertificate(certificate, context), { code: 'ZT-412-LINT' })
    })
  }

  it('known-extensions: does not hold with one that the profile does not name', () => {
    const certificate = parseCertificate(
      rawCertificate({ extensions: wrap(SAN, extension('1.2.3', Uint8Array.of(1))) }),
    )
    assert.equal(RULES.find(({ name }) => name === 'known-extensions')?.holds(certificate, LEAF), false)
  })

  it('names the rule, its citation and the profile', () => {
    const tbs = buildTbs(ca({ notAfter: NOW + 99 * HOUR }))
    assert.throws(() => LintedTbs.check(tbs, CA), {
      code: 'ZT-412-LINT',
      message: /breaks lifetime \(RFC 5280 §4\.1\.2\.5/,
      details: { rule: 'lifetime', profile: 'workload-ca' },
    })
  })

  it('knows no rule without a citation or under two names', () => {
    assert.equal(new Set(RULES.map(({ name }) => name)).size, RULES.length)
    for (const { citation } of RULES) assert.match(citation, /RFC \d+ §|X509-SVID §|design §/)
  })

  it('has a refusal here for every rule', () => {
    const tested = new Set(BROKEN.map(([name]) => name))
    assert.deepEqual(
      RULES.map(({ name }) => name).filter((name) => !tested.has(name)),
      ['known-extensions'],
    )
  })

  it('lets linted bytes be signed once', () => {
    const linted = LintedTbs.check(buildTbs(ca()), CA)
    linted.redeem()
    assert.throws(() => linted.redeem(), { code: 'ZT-412-LINT' })
  })

  it('keeps the bytes that it linted, whatever happens to the input', () => {
    const tbs = buildTbs(ca())
    const before = Buffer.from(tbs).toString('hex')
    const linted = LintedTbs.check(tbs, CA)
    tbs.fill(0)
    assert.equal(Buffer.from(linted.redeem()).toString('hex'), before)
  })

  it('refuses bytes that are no certificate before it asks any rule', () => {
    assert.throws(() => LintedTbs.check(Uint8Array.of(0x30, 0), CA), { code: 'ZT-422-CERT' })
  })
})
