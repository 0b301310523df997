// The word list against known values: the example of its authors' manual, and the digest of the whole list.
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { WORDS, wordsOf } from '#pki/ceremony/words.ts'
import { sha256 } from '#shared/encoding/digest.ts'

it('reads a fingerprint as the published example does', () => {
  const print = Buffer.from('E58294F2E9A227486E8B061B31CC528FD7FA3F19', 'hex')
  assert.equal(
    wordsOf(print).join(' '),
    'topmost Istanbul Pluto vagabond treadmill Pacific brackish dictator goldfish Medusa afflict bravado ' +
      'chatter revolver Dupont midsummer stopwatch whimsical cowbell bottomless',
  )
})

it('has 256 different words for even and for odd octets', () => {
  for (const words of WORDS) {
    assert.equal(words.length, 256)
    const lower = words.map((word) => word.toLowerCase())
    assert.equal(new Set(lower).size, 256)
  }
  assert.equal(new Set(WORDS.flat().map((word) => word.toLowerCase())).size, 512)
})

it('is the list that two others publish', () => {
  const all = WORDS.map((words) => words.join(' ').toLowerCase()).join('\n')
  assert.equal(
    Buffer.from(sha256(Buffer.from(all))).toString('hex'),
    '9fce7dd2ef02baeb9ac129548b847749e86af8ccb760a43c42c2f2538a46f9ba',
  )
})
