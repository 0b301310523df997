import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join, posix, sep } from 'node:path'
import test from 'node:test'

// What each area may import besides itself, as path prefixes from the root.
// hub and node-agent meet only on the wire, so neither may name the other.
const ALLOWED: Record<string, readonly string[]> = {
  shared: [],
  pki: ['shared/'],
  hub: ['shared/', 'pki/issuance/'],
  'node-agent': ['shared/'],
  'ops/ztctl': ['shared/'],
}
const ROOT = join(import.meta.dirname, '..')
const SPECIFIER = /\bfrom\s*['"]([^'"]+)['"]|\bimport\s*\(?\s*['"]([^'"]+)['"]/g

function target(file: string, specifier: string): string | undefined {
  if (specifier.startsWith('#')) return specifier.slice(1)
  if (specifier.startsWith('.')) return posix.join(posix.dirname(file), specifier)
  return undefined // a package or node: built-in
}

for (const [area, allowed] of Object.entries(ALLOWED)) {
  test(`${area} imports only ${['itself', ...allowed].join(', ')}`, () => {
    for (const entry of readdirSync(join(ROOT, area), { recursive: true, encoding: 'utf8' })) {
      if (!entry.endsWith('.ts')) continue
      const file = `${area}/${entry.split(sep).join('/')}`
      for (const match of readFileSync(join(ROOT, file), 'utf8').matchAll(SPECIFIER)) {
        const to = target(file, match[1] ?? match[2] ?? '')
        if (to === undefined || to.startsWith(`${area}/`)) continue
        assert.ok(
          allowed.some((prefix) => to.startsWith(prefix)),
          `${file} imports ${to}`,
        )
      }
    }
  })
}
