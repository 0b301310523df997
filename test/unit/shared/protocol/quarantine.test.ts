import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { DenyEntry } from '#shared/protocol/deny-list.ts'
import { Quarantine, type Deed } from '#shared/protocol/quarantine.ts'

const BOB = 'spiffe://mesh.example/operator/bob'
const NODE = 'spiffe://mesh.example/node/mac-mini'
const PRINT = 'P'.repeat(43)
const S = 1000

const open: DenyEntry = { kind: 'id', value: BOB, from: 200, since: 100, reason: 'left' }
const closed: DenyEntry = { ...open, until: 300 }
const certificate: DenyEntry = {
  kind: 'thumbprint',
  value: PRINT,
  id: BOB,
  from: 200,
  since: 100,
  exp: 300,
  reason: 'key copied',
}

const suspect = (entry: DenyEntry, deed: Omit<Deed, 'id'>): boolean =>
  new Quarantine([entry]).of({ id: BOB, ...deed }) !== undefined

describe('what a denied identity did', () => {
  it('is suspect from the moment that was named, to the millisecond', () => {
    assert.equal(suspect(open, { began: 50 * S, ended: 100 * S - 1 }), false)
    assert.equal(suspect(open, { began: 50 * S, ended: 100 * S }), true)
    assert.equal(suspect(open, { began: 100 * S, ended: 100 * S }), true)
  })

  it('is suspect from the denial on where no other moment was named', () => {
    const { since: _, ...entry } = open
    assert.equal(suspect(entry, { began: 150 * S, ended: 199 * S }), false)
    assert.equal(suspect(entry, { began: 150 * S, ended: 200 * S }), true)
  })

  it('is suspect as a whole when it goes on', () => {
    assert.equal(suspect(open, { began: 1 }), true)
  })

  it('stays suspect when the identity is allowed again, and what it does then is not', () => {
    assert.equal(suspect(closed, { began: 299 * S }), true)
    assert.equal(suspect(closed, { began: 300 * S }), false)
  })

  it('says since and until when, and why: the earliest of several reasons', () => {
    const earlier: DenyEntry = { kind: 'id', value: BOB, from: 60, until: 150, reason: 'lost' }
    assert.deepEqual(new Quarantine([open, earlier]).of({ id: BOB, began: 120 * S }), {
      since: 60 * S,
      until: 150 * S,
      reason: 'lost',
    })
  })

  it('is nobody else’s', () => {
    assert.equal(new Quarantine([open]).of({ id: NODE, began: 150 * S }), undefined)
  })
})

describe('what was done with a denied certificate', () => {
  it('is suspect, and what was done with another one of the same identity is not', () => {
    assert.equal(suspect(certificate, { began: 150 * S, thumbprint: PRINT }), true)
    assert.equal(suspect(certificate, { began: 150 * S, thumbprint: 'Q'.repeat(43) }), false)
  })

  it('may be anything that was begun in its time, where the certificate is not known', () => {
    assert.equal(suspect(certificate, { began: 150 * S }), true)
    assert.equal(suspect(certificate, { began: 99 * S }), false)
    assert.equal(suspect(certificate, { began: 300 * S }), false)
  })
})

describe('what a denied node says', () => {
  it('is suspect in every stretch that it was denied', () => {
    const entries: DenyEntry[] = [
      { kind: 'id', value: NODE, from: 500, reason: 'again' },
      { kind: 'id', value: NODE, from: 200, since: 100, until: 300, reason: 'lost' },
    ]
    assert.deepEqual(new Quarantine(entries).ofNode(NODE), [
      { since: 100 * S, until: 300 * S, reason: 'lost' },
      { since: 500 * S, reason: 'again' },
    ])
  })

  it('is suspect for as long as a denied certificate of it lived: whoever had it could speak as the node', () => {
    assert.deepEqual(new Quarantine([{ ...certificate, id: NODE }]).ofNode(NODE), [
      { since: 100 * S, until: 300 * S, reason: 'key copied', certificate: PRINT },
    ])
  })
})

describe('what a node said at one moment', () => {
  const entry: DenyEntry = { kind: 'id', value: NODE, from: 200, since: 100, until: 300, reason: 'lost' }
  const at = (moment: number): unknown => new Quarantine([entry]).ofNodeAt(NODE, moment)

  it('is suspect within the stretch alone', () => {
    const stretch = { since: 100 * S, until: 300 * S, reason: 'lost' }
    assert.deepEqual(
      [at(100 * S - 1), at(100 * S), at(300 * S - 1), at(300 * S)],
      [undefined, stretch, stretch, undefined],
    )
  })
})

describe('a process', () => {
  const life = { owner: BOB, node: NODE, began: 150 * S }
  const node: DenyEntry = { kind: 'id', value: NODE, from: 90, reason: 'lost' }

  it('is suspect because of its owner, or of its node, whichever is suspect first', () => {
    assert.equal(new Quarantine([open]).ofProcess(life)?.reason, 'left')
    assert.equal(new Quarantine([node]).ofProcess(life)?.reason, 'lost')
    assert.equal(new Quarantine([open, node]).ofProcess(life)?.reason, 'lost')
    assert.equal(new Quarantine([]).ofProcess(life), undefined)
  })

  it('is not when it ended before its owner was suspect, or began after', () => {
    assert.equal(new Quarantine([open]).ofProcess({ ...life, began: 1, ended: 100 * S - 1 }), undefined)
    assert.equal(new Quarantine([{ ...node, until: 150 }]).ofProcess(life), undefined)
  })

  it('is suspect though a denied node says that it ended long before: the node alone says so', () => {
    const ended = { ...life, began: 1, ended: 2 }
    assert.equal(new Quarantine([node]).ofProcess(ended)?.reason, 'lost')
    assert.equal(new Quarantine([{ ...node, until: 150 }]).ofProcess(ended)?.reason, 'lost')
  })

  it('is suspect because a certificate of its node was copied, where it ran while that lived', () => {
    const quarantine = new Quarantine([{ ...certificate, id: NODE }])
    assert.equal(quarantine.ofProcess(life)?.reason, 'key copied')
    assert.equal(quarantine.ofProcess({ ...life, began: 1, ended: 100 * S - 1 }), undefined)
    assert.equal(quarantine.ofProcess({ ...life, began: 300 * S }), undefined)
  })
})
