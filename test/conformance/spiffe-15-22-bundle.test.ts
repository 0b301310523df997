// SPIFFE Trust Domain and Bundle §4 and §5, X509-SVID §6, JWT-SVID §6: items 15 to 22.
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { before, describe } from 'node:test'
import { Publication } from '#hub/federation/own-bundle.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { parseTrustDomain } from '#shared/identity/names.ts'
import {
  buildBundleDocument,
  encodeBundle,
  isEmptyBundle,
  parseBundleDocument,
  type BundleDocument,
} from '#shared/spiffe/bundle-document.ts'
import { buildBundleMap, parseBundleMap } from '#shared/spiffe/bundle-map.ts'
import { verifyForeignSvid } from '#shared/spiffe/foreign-svid.ts'
import { ecJwkOf } from '#shared/spiffe/jwt-keys.ts'
import { SvidValidator } from '#shared/x509/svid.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { RowLog } from '#test/fakes/row-log.ts'
import { accepts, refuses } from '#test/support/conformance.ts'
import { bundleText, foreignCa, foreignLeaf, publicJwkOf, x509Jwk } from '#test/support/foreign-pki.ts'
import { makeRoot, makeTestPki, type TestPki } from '#test/support/test-pki.ts'

const NOW = Date.UTC(2026, 10, 22, 12)
const TD = parseTrustDomain('other.example')
const BAD = { code: 'ZT-422-SPIFFE-BUNDLE' }

const ca = foreignCa(TD, { at: NOW })
const jwtPair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const jwtJwk = { use: 'jwt-svid', kid: 'k1', ...publicJwkOf(jwtPair.privateKey) }
const read = (keys: readonly unknown[], members: object = {}): BundleDocument =>
  parseBundleDocument(bundleText(keys, members), TD)
const counts = ({ x509Authorities, jwtAuthorities }: BundleDocument): number[] => [
  x509Authorities.length,
  jwtAuthorities.length,
]

let pki: TestPki
before(async () => {
  pki = await makeTestPki({ now: NOW })
})

interface OwnJwk {
  readonly kty?: string
  readonly use?: string
  readonly kid?: string
  readonly x5c?: readonly string[]
}

function ownDocument(): { keys: readonly OwnJwk[]; spiffe_sequence?: number; spiffe_refresh_hint?: number } {
  const text = buildBundleDocument({
    trustDomain: pki.trustDomain,
    roots: [pki.root.certificate, makeRoot(pki.trustDomain, NOW).certificate],
    jwt: [{ kid: 'k1', jwk: ecJwkOf(jwtPair.publicKey) }],
    sequence: 7,
    refreshHint: 300,
  })
  return JSON.parse(text) as ReturnType<typeof ownDocument>
}

// §4: "an RFC 7517 compliant JWK Set"; §4.1.3: "The parameter keys MUST be present."; §4.2.1, §4.2.2: "MUST be set".
describe('jwk set', () => {
  accepts(15, 'ours: every entry has a type and a use', () => {
    for (const { kty, use } of ownDocument().keys) {
      assert.equal(kty, 'EC')
      assert.ok(use === 'x509-svid' || use === 'jwt-svid')
    }
  })
  accepts(15, 'both uses of another trust domain', () =>
    assert.deepEqual(counts(read([x509Jwk(ca), jwtJwk])), [1, 1]),
  )

  const bad: Record<string, string> = {
    'a list': '[]',
    'no keys': '{"spiffe_sequence":1}',
    'keys that are no list': '{"keys":{}}',
    'null for keys': '{"keys":null}',
    'a key that is no object': '{"keys":["x"]}',
    'a member twice': '{"keys":[],"keys":[]}',
    'a member of a key twice': '{"keys":[{"kty":"EC","use":"jwt-svid","use":"x509-svid"}]}',
    'something after the end': '{"keys":[]} {}',
    'what is no json': 'keys',
    'more keys than anybody has': JSON.stringify({ keys: Array.from({ length: 257 }, () => ({ kty: 'x' })) }),
  }
  for (const [what, text] of Object.entries(bad))
    refuses(15, what, () => assert.throws(() => parseBundleDocument(text, TD), BAD))
  refuses(15, 'more than 128 KiB, and bytes that are not utf-8', () => {
    assert.throws(() => parseBundleDocument(`{"keys":[]}${' '.repeat(128 * 1024)}`, TD), BAD)
    assert.throws(() => parseBundleDocument(Buffer.from('{"keys":[],"x":"\xff"}', 'latin1'), TD), BAD)
  })
})

// X509-SVID §6.1: "use […] MUST be set to x509-svid"; "kid […] MUST NOT be set"; "MUST include exactly one CA certificate".
describe('x509-svid entries', () => {
  accepts(16, 'ours: one self-signed authority each, and no kid', () => {
    const entries = ownDocument().keys.filter(({ use }) => use === 'x509-svid')
    assert.equal(entries.length, 2)
    for (const entry of entries) {
      assert.equal('kid' in entry, false)
      assert.equal(entry.x5c?.length, 1)
    }
    assert.equal(entries[0]?.x5c?.[0], Buffer.from(pki.root.certificate.der).toString('base64'))
  })

  for (const kind of ['P-256', 'P-384', 'P-521', 'rsa'] as const)
    accepts(16, `an authority with a ${kind} key`, () => {
      const [found] = read([x509Jwk(foreignCa(TD, { at: NOW, kind }))]).x509Authorities
      assert.equal(found?.isCa, true)
    })

  const leafOfCa = foreignLeaf(ca, `spiffe://${TD}/a`, { at: NOW })
  const useless: Record<string, object> = {
    'a leaf': { ...x509Jwk(leafOfCa) },
    'an authority that may not sign certificates': x509Jwk(foreignCa(TD, { at: NOW, usage: ['cRLSign'] })),
    'an authority whose spiffe id has a path': x509Jwk(
      foreignCa(TD, { at: NOW, uris: [`spiffe://${TD}/a`] }),
    ),
    'text that is no certificate': x509Jwk(ca, { x5c: ['AAAA'] }),
    'a number for a certificate': x509Jwk(ca, { x5c: [1] }),
    'base64url in place of base64': x509Jwk(ca, { x5c: [Buffer.from(ca.der).toString('base64url')] }),
    'a key that is not that of the certificate (RFC 7517 §4.7)': {
      ...x509Jwk(ca),
      ...publicJwkOf(jwtPair.privateKey),
    },
    'a type of key that is not that of the certificate': { ...x509Jwk(ca), kty: 'RSA' },
    'a key that is too short': x509Jwk(foreignCa(TD, { at: NOW, kind: 'rsa-1024' })),
  }
  for (const [what, entry] of Object.entries(useless))
    refuses(16, `to trust ${what}; the others stay`, () => {
      const document = read([entry, x509Jwk(foreignCa(TD, { at: NOW, kind: 'P-384' }))])
      assert.deepEqual(counts(document), [1, 0])
      assert.equal(document.unusable.length, 1)
    })
})

// JWT-SVID §6.1: "use […] MUST be set to jwt-svid. Additionally, the kid parameter of each JWK entry MUST be set."
describe('jwt-svid entries', () => {
  accepts(17, 'ours have a kid', () => {
    const [entry] = ownDocument().keys.filter(({ use }) => use === 'jwt-svid')
    assert.equal(entry?.kid, 'k1')
  })
  for (const namedCurve of ['P-256', 'P-384', 'P-521'])
    accepts(17, `a key on ${namedCurve}`, () => {
      const { privateKey } = generateKeyPairSync('ec', { namedCurve })
      assert.deepEqual(counts(read([{ use: 'jwt-svid', kid: 'k', ...publicJwkOf(privateKey) }])), [0, 1])
    })
  accepts(17, 'an RSA key', () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    assert.deepEqual(counts(read([{ use: 'jwt-svid', kid: 'k', ...publicJwkOf(privateKey) }])), [0, 1])
  })

  const useless: Record<string, object> = {
    'no kid': { ...jwtJwk, kid: undefined },
    'an empty kid': { ...jwtJwk, kid: '' },
    'a number for a kid': { ...jwtJwk, kid: 1 },
    'a point that is not on its curve': { ...jwtJwk, x: publicJwkOf(jwtPair.privateKey)['y'] },
    'an unknown curve': { ...jwtJwk, crv: 'secp256k1' },
    'a missing coordinate': { ...jwtJwk, y: undefined },
  }
  for (const [what, entry] of Object.entries(useless))
    refuses(17, `to trust a key with ${what}`, () => {
      const document = read([entry])
      assert.deepEqual(counts(document), [0, 0])
      assert.equal(document.unusable.length, 1)
    })
  refuses(17, 'two keys of one name', () => assert.throws(() => read([jwtJwk, jwtJwk]), BAD))
})

// §4.1.3: "Clients encountering unknown key types or uses MUST ignore the corresponding JWK element."; X509-SVID §6.2: "If
// x5c is not set, or is empty, then the entry MUST be ignored. […] all but the first MUST be ignored."
describe('what is not known', () => {
  const other = foreignCa(TD, { at: NOW, kind: 'P-384' })
  const ignored: Record<string, object> = {
    'an unknown type of key': { kty: 'OKP', crv: 'Ed25519', x: 'AA', use: 'jwt-svid', kid: 'o' },
    'a type in small letters': { ...x509Jwk(ca), kty: 'ec' },
    'no type': { use: 'x509-svid', x5c: x509Jwk(ca)['x5c'] },
    'an unknown use': { ...jwtJwk, use: 'wit-svid' },
    'a use in capitals': { ...x509Jwk(ca), use: 'X509-SVID' },
    'no use': publicJwkOf(ca.key),
    'no x5c': { use: 'x509-svid', ...publicJwkOf(ca.key) },
    'an empty x5c': x509Jwk(ca, { x5c: [] }),
  }
  for (const [what, entry] of Object.entries(ignored))
    accepts(18, `the rest of a bundle that has ${what}`, () => {
      assert.deepEqual(counts(read([entry, x509Jwk(other), jwtJwk])), [1, 1])
    })

  accepts(18, 'the first certificate of several', () => {
    const [found, second] = read([
      x509Jwk(ca, { x5c: [ca, other].map((one) => Buffer.from(one.der).toString('base64')) }),
    ]).x509Authorities
    assert.deepEqual(Buffer.from(found?.der ?? []), Buffer.from(ca.der))
    assert.equal(second, undefined)
  })

  for (const [what, entry] of Object.entries(ignored))
    refuses(18, `to trust anything for ${what}`, () => assert.equal(isEmptyBundle(read([entry])), true))
})

// §4.1.3: "workloads MUST treat all SVIDs from the trust domain as invalid and untrusted."
describe('a bundle without usable keys', () => {
  const chain = [foreignLeaf(ca, `spiffe://${TD}/a`, { at: NOW }).der]
  const judge = (document: BundleDocument): unknown => verifyForeignSvid(chain, () => document, NOW)

  accepts(19, 'an empty list of keys is a bundle; with the key, the SVID is valid', () => {
    assert.equal(isEmptyBundle(read([])), true)
    assert.ok(judge(read([x509Jwk(ca)])))
  })
  refuses(19, 'every SVID of a trust domain that revoked its keys', () => {
    assert.throws(() => judge(read([])), { code: 'ZT-401-CERT' })
  })
  refuses(19, 'every SVID of a trust domain whose keys are of kinds that are not known', () => {
    assert.throws(() => judge(read([{ ...x509Jwk(ca), use: 'x509-svid-2' }])), { code: 'ZT-401-CERT' })
  })
  refuses(19, 'every SVID of our own trust domain under a bundle without roots', () => {
    const validator = new SvidValidator({ ...pki.bundle, roots: [] })
    assert.throws(() => validator.validate(pki.identity('/node/n1').chain, NOW), { code: 'ZT-401-CERT' })
  })
})

// §4.1.1: "its value MUST be a monotonically increasing integer, and MUST be changed whenever the contents of the bundle
// are updated"; "at least 64 bits of precision". §4.1.2: "its value MUST be an integer".
describe('sequence and refresh hint', () => {
  accepts(20, 'numbers of 64 bits, and none at all', () => {
    const text = '{"keys":[],"spiffe_sequence":18446744073709551615,"spiffe_refresh_hint":2419200}'
    const { sequence, refreshHint } = parseBundleDocument(text, TD)
    assert.deepEqual([sequence, refreshHint], [2n ** 64n - 1n, 2_419_200])
    assert.match(encodeBundle(parseBundleDocument(text, TD)), /"spiffe_sequence":18446744073709551615[,}]/)
    const none = parseBundleDocument('{"keys":[]}', TD)
    assert.deepEqual([none.sequence, none.refreshHint], [undefined, undefined])
  })

  for (const bad of ['-1', '1.5', '1e3', '"1"', 'null', 'true', '18446744073709551616', '1.0']) {
    refuses(20, `${bad} for a sequence number`, () =>
      assert.throws(() => parseBundleDocument(`{"keys":[],"spiffe_sequence":${bad}}`, TD), BAD),
    )
    refuses(20, `${bad} for a refresh hint`, () =>
      assert.throws(() => parseBundleDocument(`{"keys":[],"spiffe_refresh_hint":${bad}}`, TD), BAD),
    )
  }

  accepts(20, 'ours grows with every change and with every start, and with nothing else', async () => {
    const { document, validator, jwt, restart } = publication()
    const first = await document()
    assert.equal(await document(), first)
    jwt.push({ kid: 'k2', jwk: ecJwkOf(jwtPair.publicKey) })
    const second = await document()
    validator.replaceBundle({
      ...pki.bundle,
      sequence: 2,
      roots: [pki.root.certificate, makeRoot(pki.trustDomain, NOW).certificate],
    })
    const third = await document()
    const sequences = [first, second, third].map(
      (text) => parseBundleDocument(text, pki.trustDomain).sequence ?? 0n,
    )
    assert.ok(
      (sequences[0] ?? 0n) < (sequences[1] ?? 0n) && (sequences[1] ?? 0n) < (sequences[2] ?? 0n),
      String(sequences),
    )
    const again = parseBundleDocument(await restart()(), pki.trustDomain)
    assert.ok((again.sequence ?? 0n) > (sequences[2] ?? 0n))
  })

  refuses(20, 'to go back to old numbers when the store was lost', async () => {
    const lost = publication()
    const before = parseBundleDocument(await lost.document(), pki.trustDomain).sequence ?? 0n
    const fresh = publication({ afterMs: 1000, kid: 'another' })
    assert.ok((parseBundleDocument(await fresh.document(), pki.trustDomain).sequence ?? 0n) > before)
  })

  refuses(20, 'to show numbers again that peers hold, when the store was set back to a copy', async () => {
    const { document, jwt, restart, clock, stored } = publication()
    await document()
    const copy = stored.kept
    clock.advance(60_000)
    jwt.push({ kid: 'k2', jwk: ecJwkOf(jwtPair.publicKey) })
    const held = parseBundleDocument(await document(), pki.trustDomain).sequence ?? 0n
    stored.kept = copy
    jwt.pop()
    clock.advance(60_000)
    assert.ok((parseBundleDocument(await restart()(), pki.trustDomain).sequence ?? 0n) > held)
  })

  refuses(20, 'to show a document whose row could not be written', async () => {
    const { document, rows } = publication()
    rows.full = true
    await assert.rejects(document(), { code: 'ZT-503-AUDIT' })
    rows.full = false
    assert.ok(await document())
    assert.equal(rows.types.filter((type) => type === 'bundle.published').length, 1)
  })
})

/** Our publication on a store in memory, `afterMs` after the others. */
function publication({ afterMs = 0, kid = 'k1' }: { afterMs?: number; kid?: string } = {}): {
  document: () => Promise<string>
  restart: () => () => Promise<string>
  validator: SvidValidator
  jwt: { kid: string; jwk: ReturnType<typeof ecJwkOf> }[]
  rows: RowLog
  clock: ManualClock
  stored: { kept?: { digest: string; sequence: number } | undefined }
} {
  const validator = new SvidValidator(pki.bundle)
  const jwt = [{ kid, jwk: ecJwkOf(jwtPair.publicKey) }]
  const rows = new RowLog()
  const stored: { kept?: { digest: string; sequence: number } | undefined } = {}
  const store = {
    published: () => Promise.resolve(stored.kept),
    publish: (next: { digest: string; sequence: number }) => {
      stored.kept = next
      return Promise.resolve()
    },
  }
  const clock = new ManualClock(NOW + afterMs)
  const parts = { trust: validator, jwt: () => [...jwt], store, rows, clock }
  const open = (): (() => Promise<string>) => {
    const made = new Publication(parts)
    return () => made.document()
  }
  return { document: open(), restart: open, validator, jwt, rows, clock, stored }
}

// §4.1: "Parameters not defined here MAY be included as implementers see fit, however SPIFFE implementations MUST NOT
// require their presence in order to function."
describe('unknown parameters', () => {
  accepts(21, 'a bundle without any, and with some of every kind', () => {
    assert.deepEqual(counts(parseBundleDocument(JSON.stringify({ keys: [x509Jwk(ca)] }), TD)), [1, 0])
    const more = { x_number: 0, nested: { a: [1.5, -2e10, null, { b: true }] }, big: 1e300 }
    assert.deepEqual(counts(read([{ ...x509Jwk(ca), ...more }], more)), [1, 0])
  })
  accepts(21, 'ours has none', () => {
    assert.deepEqual(Object.keys(ownDocument()).toSorted(), [
      'keys',
      'spiffe_refresh_hint',
      'spiffe_sequence',
    ])
    for (const entry of ownDocument().keys) {
      const known = ['crv', 'kid', 'kty', 'use', 'x', 'x5c', 'y']
      assert.deepEqual(
        Object.keys(entry).filter((name) => !known.includes(name)),
        [],
      )
    }
  })
  refuses(21, 'to hand on what it did not understand', () => {
    const text = encodeBundle(
      read(
        [
          { ...x509Jwk(ca), secret: 'x' },
          { kty: 'oct', use: 'jwt-svid' },
        ],
        { evil: 1 },
      ),
    )
    const again = parseStrictJson(text, { maxBytes: 128 * 1024 })
    assert.ok(!JSON.stringify(again).includes('secret') && !JSON.stringify(again).includes('evil'))
    assert.ok(!text.includes('"oct"'))
  })
})

// §5.1.1: "Consumers MUST reject maps in which duplicate trust domain name keys are detected"; "MUST NOT alter SPIFFE Bundle
// Map refresh behavior based on the value of refresh_hint keys present in any individual bundle".
describe('bundle map', () => {
  const one = bundleText([x509Jwk(ca)])
  const map = (inside: string): string => `{"trust_domains":{${inside}}}`

  accepts(22, 'bundles under their names, and none at all', () => {
    const found = parseBundleMap(map(`"a.example":${one},"b.example":${bundleText([])}`))
    assert.deepEqual([...found.keys()], ['a.example', 'b.example'])
    assert.equal(found.get(parseTrustDomain('a.example'))?.x509Authorities.length, 1)
    assert.equal(parseBundleMap(map('')).size, 0)
  })
  accepts(22, 'a map without regard to refresh hints, and ours has none', () => {
    const found = parseBundleMap(map(`"a.example":${one}`))
    assert.equal(found.get(parseTrustDomain('a.example'))?.refreshHint, undefined)
    const text = buildBundleMap([...found.values()].map((bundle) => ({ ...bundle, refreshHint: 60 })))
    assert.ok(!text.includes('refresh_hint'))
    assert.deepEqual([...parseBundleMap(text).keys()], ['a.example'])
  })

  const bad: Record<string, string> = {
    'a trust domain twice': map(`"a.example":${one},"a.example":${one}`),
    'a trust domain twice, once escaped': map(`"a.example":${one},"\\u0061.example":${one}`),
    'a name that is no trust domain': map(`"A.example":${one}`),
    'a bundle that is none': map('"a.example":{"keys":1}'),
    'no trust domains': '{"keys":[]}',
    'trust domains in a list': '{"trust_domains":[]}',
    'a number for trust domains': '{"trust_domains":1}',
  }
  for (const [what, text] of Object.entries(bad))
    refuses(22, what, () => assert.throws(() => parseBundleMap(text), BAD))
  refuses(22, 'to write a trust domain twice', () => {
    const bundle = parseBundleDocument(one, TD)
    assert.throws(() => buildBundleMap([bundle, bundle]), BAD)
  })
})
