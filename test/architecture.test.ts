// The parts meet only where the design lets them: who may import whom, and what has no I/O.
import assert from 'node:assert/strict'
import test from 'node:test'
import { importsOf, isOwn, sourceFiles } from './support/sources.ts'

// What each area may import besides itself, as path prefixes from the root.
// hub and node-agent meet only on the wire, so neither may name the other; nothing online reaches the ceremony.
const ALLOWED: Record<string, readonly string[]> = {
  shared: [],
  pki: ['shared/'],
  hub: ['shared/', 'pki/issuance/', 'pki/keystore/'],
  'node-agent': ['shared/'],
  'ops/ztctl': ['shared/'],
}

for (const [area, allowed] of Object.entries(ALLOWED)) {
  test(`${area} imports only ${['itself', ...allowed].join(', ')}`, () => {
    for (const file of sourceFiles(area)) {
      for (const to of importsOf(file)) {
        if (!isOwn(to) || to.startsWith(`${area}/`)) continue
        assert.ok(
          allowed.some((prefix) => to.startsWith(prefix)),
          `${file.path} imports ${to}`,
        )
      }
    }
  })
}

test('only the ceremony itself imports pki/ceremony', () => {
  for (const file of sourceFiles('pki')) {
    if (file.path.startsWith('pki/ceremony/')) continue
    for (const to of importsOf(file)) assert.ok(!to.startsWith('pki/ceremony/'), `${file.path} imports ${to}`)
  }
})

const IO = /^node:(?:fs|net|tls|http|https|child_process|sqlite|os|dgram|worker_threads)\b/
const AMBIENT = /\bDate\.now\(|\bprocess\.(?:env|argv|stdout|stderr)\b/

test('shared is pure outside shared/host: no I/O, no clock, no environment', () => {
  for (const file of sourceFiles('shared')) {
    if (file.path.startsWith('shared/host/')) continue
    for (const to of importsOf(file)) {
      assert.doesNotMatch(to, IO, `${file.path} imports ${to}`)
      assert.ok(!to.startsWith('shared/host/'), `${file.path} imports ${to}`)
    }
    assert.doesNotMatch(file.text, AMBIENT, `${file.path} reads a clock or the environment`)
  }
})

test('the verifier of TPM evidence is pure: no I/O, no clock, nothing of the rest of the hub', () => {
  for (const file of sourceFiles('hub/attestation')) {
    for (const to of importsOf(file)) {
      assert.doesNotMatch(to, IO, `${file.path} imports ${to}`)
      assert.ok(!to.startsWith('shared/host/'), `${file.path} imports ${to}`)
      assert.ok(!to.startsWith('hub/') || to.startsWith('hub/attestation/'), `${file.path} imports ${to}`)
    }
    assert.doesNotMatch(file.text, AMBIENT, `${file.path} reads a clock or the environment`)
  }
})

test('no file hands a string to a shell', () => {
  for (const area of ['shared', 'pki', 'hub', 'node-agent', 'ops']) {
    for (const file of sourceFiles(area))
      assert.doesNotMatch(file.text, /shell:\s*true|\bexecSync\(/, file.path)
  }
})
