import assert from 'node:assert/strict'
import { it } from 'node:test'
import { editDistance, suggest } from '#ops/ztctl/grammar/suggest.ts'

it('counts insertions, deletions, replacements and swaps of neighbours as one edit each', () => {
  assert.equal(editDistance('spawn', 'spawn'), 0)
  assert.equal(editDistance('spwan', 'spawn'), 1)
  assert.equal(editDistance('span', 'spawn'), 1)
  assert.equal(editDistance('sspawn', 'spawn'), 1)
  assert.equal(editDistance('spaxn', 'spawn'), 1)
  assert.equal(editDistance('', 'abc'), 3)
})

it('suggests the nearest word within two edits, and nothing beyond', () => {
  const known = ['spawn', 'run', 'ps', 'logs', 'kill']
  assert.equal(suggest('logz', known), 'logs')
  assert.equal(suggest('rnu', known), 'run')
  assert.equal(suggest('sp', known), 'spawn')
  assert.equal(suggest('x', known), undefined)
  assert.equal(suggest('elephant', known), undefined)
  assert.equal(suggest('a'.repeat(10_000), known), undefined)
})
