// SPIFFE-ID §2: items 1 to 4.
import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { parseTrustDomain } from '#shared/identity/names.ts'
import { parseSpiffeId, pathOf, taskId, trustDomainOf } from '#shared/identity/spiffe-id.ts'
import { accepts, refuses } from '#test/support/conformance.ts'

const BAD_ID = { code: 'ZT-422-SPIFFE-ID' }

// §2: "MUST have the scheme set to spiffe, include a non-zero trust domain name, and MUST NOT include a query or fragment"
// §2.1: "The userinfo and port parts of the authority component MUST be empty."
describe('scheme and components', () => {
  accepts(1, 'a trust domain and a path are all there is', () => {
    const id = parseSpiffeId('spiffe://mesh.example/payments/mysql')
    assert.deepEqual([trustDomainOf(id), pathOf(id)], ['mesh.example', '/payments/mysql'])
  })

  const bad: Record<string, string> = {
    'another scheme': 'https://mesh.example/a',
    'a scheme that only begins like it': 'spiffex://mesh.example/a',
    'capitals in the scheme': 'Spiffe://mesh.example/a',
    'a query': 'spiffe://mesh.example/a?b',
    'an empty query': 'spiffe://mesh.example/a?',
    'a fragment': 'spiffe://mesh.example/a#b',
    'a user': 'spiffe://u@mesh.example/a',
    'a user and a password': 'spiffe://u:p@mesh.example/a',
    'a port': 'spiffe://mesh.example:8443/a',
    'an empty port': 'spiffe://mesh.example:/a',
    'one slash alone': 'spiffe:/mesh.example/a',
  }
  for (const [what, id] of Object.entries(bad))
    refuses(1, what, () => assert.throws(() => parseSpiffeId(id), BAD_ID))
})

// §2.1: "MUST be lowercase", "[a-z0-9.-_]", "MUST NOT contain percent-encoded characters"; "MUST NOT process trust domain
// names differently whether or not they are valid IP addresses and/or valid DNS names".
describe('trust domain', () => {
  const good = ['mesh.example', 'a', '10.0.0.1', 'not_a-dns.name', '-', '..', '127.1', 'xn--e1afmkfd', '0']
  for (const name of good)
    accepts(2, `"${name}" is a trust domain like any other`, () => {
      assert.equal(parseTrustDomain(name), name)
      assert.equal(trustDomainOf(parseSpiffeId(`spiffe://${name}/a`)), name)
    })

  const bad: Record<string, string> = {
    nothing: '',
    capitals: 'Mesh.example',
    'percent-encoding': 'mesh%2eexample',
    'an IPv6 address': '[::1]',
    'a letter beyond ascii': 'mésh.example',
    'a space': 'mesh example',
    'a line feed at the end': 'mesh.example\n',
  }
  for (const [what, name] of Object.entries(bad))
    refuses(2, what, () => {
      assert.throws(() => parseTrustDomain(name), { code: 'ZT-422-NAME' })
      assert.throws(() => parseSpiffeId(`spiffe://${name}/a`), BAD_ID)
    })
})

// §2.2: "MUST NOT include percent-encoded characters", "MUST NOT include segments that are empty or are relative path
// modifiers", "MUST NOT include a trailing /", "[a-zA-Z0-9.-_]".
describe('path', () => {
  for (const path of [
    '/a',
    '/a/b/c',
    '/A.b-c_D',
    '/...',
    '/.a',
    '/a..',
    '/9eebccd2-12bf-40a6-b262-65fe0487d453',
  ])
    accepts(3, `"${path}" is a path`, () => assert.equal(pathOf(parseSpiffeId(`spiffe://td${path}`)), path))

  accepts(3, 'the path keeps its case', () => {
    assert.notEqual(parseSpiffeId('spiffe://td/Abc'), parseSpiffeId('spiffe://td/abc'))
  })

  for (const path of [
    '/a/',
    '/',
    '//',
    '/a//b',
    '/./a',
    '/a/..',
    '/..',
    '/a%62',
    '/a:b',
    '/a b',
    '/a+b',
    '/ä',
    '/a\n',
  ])
    refuses(3, JSON.stringify(path), () => assert.throws(() => parseSpiffeId(`spiffe://td${path}`), BAD_ID))
})

// §2.3: "MUST support SPIFFE URIs up to 2048 bytes in length and SHOULD NOT generate URIs of length greater than 2048
// bytes"; "a maximum length of a trust domain name is 255 bytes".
describe('length', () => {
  const ofLength = (length: number): string => `spiffe://td/${'x'.repeat(length - 'spiffe://td/'.length)}`

  accepts(4, '2048 bytes and a trust domain of 255', () => {
    assert.equal(parseSpiffeId(ofLength(2048)).length, 2048)
    assert.equal(trustDomainOf(parseSpiffeId(`spiffe://${'a'.repeat(255)}/x`)).length, 255)
  })

  refuses(4, '2049 bytes', () => assert.throws(() => parseSpiffeId(ofLength(2049)), BAD_ID))

  refuses(4, 'a trust domain of 256 bytes', () => {
    assert.throws(() => parseTrustDomain('a'.repeat(256)), { code: 'ZT-422-NAME' })
    assert.throws(() => parseSpiffeId(`spiffe://${'a'.repeat(256)}/x`), BAD_ID)
  })

  refuses(4, 'to make a longer one than it would take, whatever the names', () => {
    const domain = parseTrustDomain('a'.repeat(255))
    const longest = taskId(domain, { agent: 'a'.repeat(63), task: 't'.repeat(63) })
    assert.ok(longest.length < 2048)
    assert.throws(() => taskId(domain, { agent: 'a'.repeat(64), task: 't' }), BAD_ID)
  })
})
