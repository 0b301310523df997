// The docs say what the code says: codes, dependencies, commands, and no name of the machine they were written on.
import assert from 'node:assert/strict'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { ERROR_CODES } from '#shared/errors/codes.ts'
import { errorsDoc } from '#ops/setup/errors-doc.ts'
import { ROOT, importsOf, isOwn, sourceFiles } from './support/sources.ts'

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')
const AREAS = ['shared', 'pki', 'hub', 'node-agent', 'ops', 'test']

test('docs/errors.md lists exactly the codes of the table', () => {
  assert.equal(read('docs/errors.md'), errorsDoc())
})

test('every code in the table is used by the code, and every code in the code is in the table', () => {
  const used = new Set<string>()
  for (const area of ['shared', 'pki', 'hub', 'node-agent', 'ops']) {
    for (const file of sourceFiles(area)) {
      if (file.path === 'shared/errors/codes.ts') continue
      for (const match of file.text.matchAll(/'(ZT-\d{3}-[A-Z-]+)'/g)) used.add(match[1] ?? '')
    }
  }
  for (const code of used) assert.ok(ERROR_CODES.has(code as never), `${code} is not in the table`)
  for (const code of ERROR_CODES.keys()) assert.ok(used.has(code), `${code} is used nowhere`)
})

interface PackageJson {
  dependencies: Record<string, string>
  devDependencies: Record<string, string>
  optionalDependencies: Record<string, string>
}

test('docs/dependencies.md has a line for each dependency, with its exact version and its users', () => {
  const manifest = JSON.parse(read('package.json')) as PackageJson
  const all = { ...manifest.dependencies, ...manifest.devDependencies, ...manifest.optionalDependencies }
  const rows = new Map(
    [...read('docs/dependencies.md').matchAll(/^\| `([^`]+)` \| ([\d.]+) \| ([^|]+) \|/gm)].map((match) => [
      match[1] ?? '',
      { version: match[2], users: (match[3] ?? '').trim() },
    ]),
  )
  for (const [name, version] of Object.entries(all)) {
    assert.equal(rows.get(name)?.version, version, `the line of ${name}`)
  }
  const files = AREAS.flatMap(sourceFiles)
  for (const name of Object.keys(manifest.dependencies)) {
    const users = new Set(
      files
        .filter((file) => !file.path.startsWith('test/'))
        .filter((file) => importsOf(file).some((to) => to === name || to.startsWith(`${name}/`)))
        .map((file) => file.path.split('/')[0] ?? ''),
    )
    assert.equal(rows.get(name)?.users, [...users].toSorted().join(', '), `who uses ${name}`)
  }
})

test('only listed packages and our own files are imported', () => {
  const manifest = JSON.parse(read('package.json')) as PackageJson
  const known = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies })
  for (const file of AREAS.flatMap(sourceFiles)) {
    for (const to of importsOf(file)) {
      if (isOwn(to) || to.startsWith('node:')) continue
      assert.ok(
        known.some((name) => to === name || to.startsWith(`${name}/`)),
        `${file.path} imports ${to}`,
      )
    }
  }
})

test('every make target that the docs name exists', () => {
  const targets = new Set([...read('Makefile').matchAll(/^([a-z0-9-]+):/gm)].map((match) => match[1]))
  const pages = [
    'README.md',
    'SECURITY.md',
    ...readdirSync(join(ROOT, 'docs'))
      .filter((name) => name.endsWith('.md'))
      .map((name) => `docs/${name}`),
  ]
  for (const page of pages) {
    for (const match of read(page).matchAll(/`make ([a-z0-9-]+)`|^\$ make ([a-z0-9-]+)/gm)) {
      const target = match[1] ?? match[2]
      assert.ok(targets.has(target ?? ''), `${page} names make ${target}`)
    }
  }
})

test('every row of the threat model in SECURITY.md names tests that exist', () => {
  const named = [...read('SECURITY.md').matchAll(/`(test\/[\w./-]+)`/g)].map((match) => match[1] ?? '')
  assert.ok(named.length > 20, 'the threat model names its tests')
  for (const path of named) assert.ok(existsSync(join(ROOT, path)), path)
})
