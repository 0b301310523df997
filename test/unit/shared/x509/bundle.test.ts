// Which bundle a program takes: SPIFFE Trust Domain and Bundle §4, and who must have signed it.
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { parseTrustDomain } from '#shared/identity/names.ts'
import { signJws, signJwsWith } from '#shared/jose/jws.ts'
import { svidSigner } from '#shared/identity/identity.ts'
import {
  openBundle,
  rootFingerprint,
  signBundle,
  spiffeBundleJson,
  type TrustBundle,
} from '#shared/x509/bundle.ts'
import {
  makeRoot,
  makeTestPki,
  rootSigner,
  type TestAuthority,
  type TestPki,
} from '#test/support/test-pki.ts'

const NOW = Date.UTC(2026, 10, 22, 12)
const CODE = { code: 'ZT-401-BUNDLE' }

let pki: TestPki
let pinned: { pinnedRoot: string }
before(async () => {
  pki = await makeTestPki({ now: NOW })
  pinned = { pinnedRoot: rootFingerprint(pki.root.certificate) }
})

const signed = (change: Partial<TrustBundle>, root: TestAuthority = pki.root): Promise<string> =>
  signBundle({ ...pki.bundle, ...change }, rootSigner(root))
const signedRaw = (payload: unknown, root: TestAuthority = pki.root): Promise<string> =>
  signJwsWith({ typ: 'zt-bundle+jws', payload: canonicalBytes(payload), signer: rootSigner(root) })

describe('trust bundle', () => {
  it('is taken from a root that was pinned', () => {
    const bundle = openBundle(pki.signedBundle, pinned, NOW)
    assert.equal(bundle.trustDomain, 'mesh.example')
    assert.deepEqual(bundle.roots.map(rootFingerprint), [pinned.pinnedRoot])
  })

  it('brings a new root if a trusted root signed it', async () => {
    const next = makeRoot(pki.trustDomain, NOW)
    const roots = [pki.root.certificate, next.certificate]
    const both = openBundle(await signed({ sequence: 2, roots }), { trusted: pki.bundle }, NOW)
    assert.equal(both.roots.length, 2)
    const alone = await signed({ sequence: 3, roots: [next.certificate] }, next)
    assert.equal(openBundle(alone, { trusted: both }, NOW).roots.length, 1)
  })

  it('is refused from a root that it brings itself', async () => {
    const next = makeRoot(pki.trustDomain, NOW)
    const text = await signed({ sequence: 2, roots: [next.certificate] }, next)
    assert.throws(() => openBundle(text, { trusted: pki.bundle }, NOW), CODE)
    assert.throws(() => openBundle(text, pinned, NOW), CODE)
  })

  it('is refused when a hub signed it', () => {
    const payload = canonicalBytes({ v: 1 })
    assert.throws(() =>
      signJws({ typ: 'zt-bundle+jws', payload, signer: svidSigner(pki.identity('/hub/h1')) }),
    )
  })

  it('is refused with a lower sequence than the one that is held', async () => {
    const held = openBundle(await signed({ sequence: 7 }), pinned, NOW)
    assert.throws(() => openBundle(pki.signedBundle, { trusted: held }, NOW), CODE)
  })

  it('is refused with the held sequence and another content, and taken with the same', async () => {
    const other = await signed({ revokedIntermediates: ['A'.repeat(43)] })
    assert.throws(() => openBundle(other, { trusted: pki.bundle }, NOW), CODE)
    assert.equal(openBundle(pki.signedBundle, { trusted: pki.bundle }, NOW).sequence, 1)
  })

  it('is refused with any character of its payload or signature changed', () => {
    const parts = pki.signedBundle.split('.')
    for (const at of [1, 2]) {
      const part = parts[at] ?? ''
      const middle = part.length >> 1
      const changed = `${part.slice(0, middle)}${part[middle] === 'A' ? 'B' : 'A'}${part.slice(middle + 1)}`
      assert.throws(() => openBundle(parts.with(at, changed).join('.'), pinned, NOW), CODE)
    }
  })

  it('is refused before and after the life of its root', () => {
    const { notBefore, notAfter } = pki.root.certificate
    assert.throws(() => openBundle(pki.signedBundle, pinned, notBefore - 1), CODE)
    assert.throws(() => openBundle(pki.signedBundle, pinned, notAfter + 1000), CODE)
  })

  it('is refused for a fingerprint of other case or length', () => {
    for (const pinnedRoot of ['', pinned.pinnedRoot.slice(0, 32), pinned.pinnedRoot.toUpperCase()]) {
      assert.throws(() => openBundle(pki.signedBundle, { pinnedRoot }, NOW), CODE)
    }
  })

  it('empties the trust domain when it has no keys', async () => {
    assert.deepEqual(openBundle(await signed({ roots: [] }), pinned, NOW).roots, [])
  })

  it('is refused with a root of another trust domain', async () => {
    const foreign = makeRoot(parseTrustDomain('other.example'), NOW)
    const text = await signed({ roots: [pki.root.certificate, foreign.certificate] })
    assert.throws(() => openBundle(text, pinned, NOW), CODE)
    const claimed = await signed({ trustDomain: parseTrustDomain('other.example') })
    assert.throws(() => openBundle(claimed, pinned, NOW), CODE)
  })

  const body = (bundle: unknown, change: object = {}): unknown => ({
    v: 1,
    td: 'mesh.example',
    bundle,
    revoked: [],
    ...change,
  })
  const jwks = (): Record<string, unknown> => ({ ...spiffeBundleJson(pki.bundle) })
  const firstKey = (): Record<string, unknown> => ({
    ...(spiffeBundleJson(pki.bundle)['keys'] as Record<string, unknown>[])[0],
  })
  const withKeys = (...keys: unknown[]): unknown => body({ ...jwks(), keys })
  const refused: Record<string, () => unknown> = {
    'an unknown field of ours': () => body(jwks(), { extra: 1 }),
    'another version': () => body(jwks(), { v: 2 }),
    'no keys': () => body({ spiffe_sequence: 1, spiffe_refresh_hint: 300 }),
    'keys that are no list': () => body({ ...jwks(), keys: {} }),
    'a key that is no object': () => withKeys('x'),
    'no sequence': () => body({ keys: [], spiffe_refresh_hint: 300 }),
    'a sequence that is text': () => body({ ...jwks(), spiffe_sequence: '1' }),
    'a negative sequence': () => body({ ...jwks(), spiffe_sequence: -1 }),
    'the same root twice': () => withKeys(firstKey(), firstKey()),
    'an intermediate as a root': () =>
      withKeys({ ...firstKey(), x5c: [Buffer.from(pki.workload.certificate.der).toString('base64')] }),
    'a root that is not readable': () => withKeys({ ...firstKey(), x5c: ['MAA='] }),
    'a root in base64url': () =>
      withKeys({ ...firstKey(), x5c: [Buffer.from(pki.root.certificate.der).toString('base64url')] }),
    'a revoked key of another length': () => body(jwks(), { revoked: ['AAAA'] }),
    'more than eight roots': () =>
      withKeys(
        ...Array.from({ length: 9 }, () => ({
          ...firstKey(),
          x5c: [Buffer.from(makeRoot(pki.trustDomain, NOW).certificate.der).toString('base64')],
        })),
      ),
  }
  for (const [what, payload] of Object.entries(refused)) {
    it(`is refused with ${what}`, async () => {
      const text = await signedRaw(payload())
      assert.throws(() => openBundle(text, pinned, NOW), CODE)
    })
  }

  const ignored: Record<string, () => unknown> = {
    'a key of an unknown use': () => withKeys(firstKey(), { ...firstKey(), use: 'jwt-svid', kid: 'a' }),
    'a key without a use': () => withKeys(firstKey(), { kty: 'EC' }),
    'a key of an unknown type': () => withKeys(firstKey(), { kty: 'OKP', use: 'x509-svid', x5c: ['AAAA'] }),
    'an x509-svid key without certificates': () => withKeys(firstKey(), { kty: 'EC', use: 'x509-svid' }),
    'a second certificate of a key': () =>
      withKeys({ ...firstKey(), x5c: [...(firstKey()['x5c'] as string[]), 'AAAA'] }),
    'parameters of other versions': () => body({ ...jwks(), spiffe_new: true }),
  }
  for (const [what, payload] of Object.entries(ignored)) {
    it(`ignores ${what}, as SPIFFE demands`, async () => {
      assert.equal(openBundle(await signedRaw(payload()), pinned, NOW).roots.length, 1)
    })
  }

  it('is a jwk set as other SPIFFE programs read it', () => {
    const [key] = spiffeBundleJson(pki.bundle)['keys'] as Record<string, unknown>[]
    assert.deepEqual(Object.keys(key ?? {}).toSorted(), ['crv', 'kty', 'use', 'x', 'x5c', 'y'])
    assert.deepEqual([key?.['kty'], key?.['crv'], key?.['use']], ['EC', 'P-384', 'x509-svid'])
  })
})
