// The checklist of docs/spiffe.md and the tests of this folder name each other: every item has a test of what it lets
// through and one of what it keeps out, in the very file that its row names.
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'

const ITEMS = Array.from({ length: 34 }, (_, index) => index + 1)
const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'spiffe.md'), 'utf8')

/** Files that test the item, for each kind of test. */
function testsOf(kind: 'accepts' | 'refuses'): ReadonlyMap<number, ReadonlySet<string>> {
  const found = new Map<number, Set<string>>()
  for (const name of readdirSync(import.meta.dirname).filter((one) => one.startsWith('spiffe-'))) {
    const text = readFileSync(join(import.meta.dirname, name), 'utf8')
    for (const [, item = ''] of text.matchAll(new RegExp(`\\b${kind}\\(\\s*(\\d+),`, 'g')))
      found.set(Number(item), (found.get(Number(item)) ?? new Set()).add(`test/conformance/${name}`))
  }
  return found
}

const rows = new Map(
  [...page.matchAll(/^\| (\d+) \| .* \| `(test\/conformance\/[\w.-]+)` \|$/gm)].map((match) => [
    Number(match[1]),
    match[2] ?? '',
  ]),
)

describe('every item of the checklist', () => {
  for (const kind of ['accepts', 'refuses'] as const) {
    const tests = testsOf(kind)
    for (const item of ITEMS)
      it(`${item} has a test that ${kind}, in the file that docs/spiffe.md names`, () => {
        assert.ok(tests.get(item)?.has(rows.get(item) ?? ''), `row: ${rows.get(item) ?? 'none'}`)
      })
    it(`no test ${kind} for an item that is not in the checklist`, () => {
      assert.deepEqual(
        [...tests.keys()].filter((item) => !ITEMS.includes(item)),
        [],
      )
    })
  }
})
