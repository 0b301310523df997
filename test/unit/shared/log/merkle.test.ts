import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import { toBinary, type Hash } from '#shared/log/hash.ts'
import {
  EMPTY_ROOT,
  proveConsistency,
  proveInclusion,
  treeRoot,
  verifyConsistency,
  verifyInclusion,
  type HashReader,
} from '#shared/log/merkle.ts'
import { readHashesFrom } from '#shared/log/tiles.ts'
import { TreeEdge, type FullTile } from '#shared/log/tree-edge.ts'

const leafOf = (index: number): Hash => createHash('sha256').update(`leaf ${index}`).digest()
const MAX = 70
const leaves = Array.from({ length: MAX }, (_, index) => leafOf(index))

// RFC 6962 §2.1, word for word: the oracle.
function mth(hashes: readonly Hash[]): Hash {
  const [first] = hashes
  if (first === undefined) return createHash('sha256').digest()
  if (hashes.length === 1) return first
  let k = 1
  while (k * 2 < hashes.length) k *= 2
  return createHash('sha256')
    .update('\u0001')
    .update(mth(hashes.slice(0, k)))
    .update(mth(hashes.slice(k)))
    .digest()
}

const read: HashReader = (height, index) => mth(leaves.slice(index * 2 ** height, (index + 1) * 2 ** height))

function flip(hash: Hash): Hash {
  const changed = Buffer.from(hash)
  changed[0] = (changed[0] ?? 0) ^ 1
  return changed
}

describe('a Merkle root', () => {
  it('is that of RFC 6962 for every size', () => {
    for (let size = 0; size <= MAX; size += 1)
      assert.deepEqual(treeRoot(size, read), mth(leaves.slice(0, size)))
    assert.equal(Buffer.from(EMPTY_ROOT).toString('hex').slice(0, 8), 'e3b0c442')
  })
})

describe('an inclusion proof', () => {
  it('verifies for every leaf of every size', () => {
    for (let size = 1; size <= MAX; size += 1) {
      const root = mth(leaves.slice(0, size))
      for (let index = 0; index < size; index += 1) {
        verifyInclusion({ leaf: leafOf(index), index, size, root, proof: proveInclusion(index, size, read) })
      }
    }
  })

  const claim = {
    leaf: leafOf(5),
    index: 5,
    size: 21,
    root: mth(leaves.slice(0, 21)),
    proof: proveInclusion(5, 21, read),
  }
  const refused: Record<string, object> = {
    'A25: an extra hash': { proof: [...claim.proof, leafOf(1)] },
    'A25: a missing hash': { proof: claim.proof.slice(1) },
    'A25: no hash': { proof: [] },
    'A25: hashes in another order': { proof: claim.proof.toReversed() },
    'A25: a changed hash': { proof: claim.proof.map((hash, at) => (at === 2 ? flip(hash) : hash)) },
    'a hash of 31 bytes': { proof: claim.proof.map((hash) => hash.subarray(1)) },
    'A26: the root of another log': { root: mth(leaves.slice(1, 22)) },
    'the root of another size': { root: mth(leaves.slice(0, 20)) },
    'another leaf': { leaf: leafOf(6) },
    'another index': { index: 6 },
    'another size': { size: 40 },
    'an index outside the tree': { index: 21 },
    'a negative index': { index: -1 },
    'a size that is no number': { size: Number.NaN },
    'an empty tree': { size: 0, index: 0 },
  }
  for (const [what, change] of Object.entries(refused)) {
    it(`is refused with ${what}`, () => {
      assert.throws(() => verifyInclusion({ ...claim, ...change }), { code: 'ZT-490-PROOF' })
    })
  }

  it('is not made for a leaf outside the tree', () => {
    assert.throws(() => proveInclusion(3, 3, read), { code: 'ZT-422-SCHEMA' })
    assert.throws(() => proveInclusion(-1, 3, read), { code: 'ZT-422-SCHEMA' })
  })
})

describe('a consistency proof', () => {
  it('verifies for every pair of sizes', () => {
    for (let size = 0; size <= MAX; size += 1) {
      for (let oldSize = 0; oldSize <= size; oldSize += 1) {
        const oldRoot = mth(leaves.slice(0, oldSize))
        const root = mth(leaves.slice(0, size))
        verifyConsistency({ oldSize, oldRoot, size, root, proof: proveConsistency(oldSize, size, read) })
      }
    }
  })

  const claim = {
    oldSize: 13,
    oldRoot: mth(leaves.slice(0, 13)),
    size: 21,
    root: mth(leaves.slice(0, 21)),
    proof: proveConsistency(13, 21, read),
  }
  const refused: Record<string, object> = {
    'A25: an extra hash': { proof: [...claim.proof, leafOf(1)] },
    'A25: a missing hash': { proof: claim.proof.slice(0, -1) },
    'A25: no hash': { proof: [] },
    'A17: an old root that is no prefix': { oldRoot: flip(claim.oldRoot) },
    'another new root': { root: flip(claim.root) },
    'a larger size under the same roots': { size: 41 },
    'two roots for one size': { oldSize: 21, oldRoot: flip(claim.root), proof: [] },
    'a proof between equal heads': { oldSize: 21, oldRoot: claim.root },
    'a proof from nothing': { oldSize: 0, oldRoot: EMPTY_ROOT },
    'a root of nothing that is not the empty one': { oldSize: 0, oldRoot: claim.root, proof: [] },
    'an old size beyond the new one': { oldSize: 22 },
  }
  for (const [what, change] of Object.entries(refused)) {
    it(`is refused with ${what}`, () => {
      assert.throws(() => verifyConsistency({ ...claim, ...change }), { code: 'ZT-490-PROOF' })
    })
  }
})

describe('the growing edge of a tree', () => {
  const COUNT = 70_000

  it('has the root of RFC 6962 at every size', () => {
    const edge = new TreeEdge()
    for (let size = 0; size < MAX; size += 1) {
      assert.deepEqual(Buffer.from(edge.root()), Buffer.from(mth(leaves.slice(0, size))))
      edge.push(toBinary(leafOf(size)))
    }
  })

  it('hands out every full tile once, and proofs read from these tiles hold across levels', () => {
    const tiles = new Map<string, FullTile>()
    const edge = new TreeEdge((tile) => {
      const id = `${tile.level}/${tile.index}`
      assert.ok(!tiles.has(id))
      tiles.set(id, tile)
    })
    const roots = new Map<number, Hash>()
    for (let index = 0; index < COUNT; index += 1) {
      edge.push(toBinary(leafOf(index)))
      if ([1, 256, 257, 65_535, 65_536, 65_537, COUNT].includes(index + 1)) roots.set(index + 1, edge.root())
    }
    assert.equal(tiles.size, Math.floor(COUNT / 256) + 1)
    const reader = readHashesFrom(
      (level, index) => tiles.get(`${level}/${index}`)?.data ?? edge.partial(level),
    )
    const root = edge.root()
    for (const [oldSize, oldRoot] of roots) {
      assert.deepEqual(treeRoot(oldSize, reader), Buffer.from(oldRoot))
      verifyConsistency({
        oldSize,
        oldRoot,
        size: COUNT,
        root,
        proof: proveConsistency(oldSize, COUNT, reader),
      })
      const index = oldSize - 1
      const proof = proveInclusion(index, COUNT, reader)
      verifyInclusion({ leaf: leafOf(index), index, size: COUNT, root, proof })
    }
  })

  it('comes back to a mark as if nothing had been pushed since, across a full tile', () => {
    for (const size of [0, 1, 255, 256, 300, 511, 65_535]) {
      const edge = new TreeEdge()
      const other = new TreeEdge()
      for (let index = 0; index < size; index += 1) edge.push(toBinary(leafOf(index)))
      const mark = edge.mark()
      const root = edge.root()
      for (let index = 0; index < 600; index += 1) edge.push(toBinary(leafOf(1_000_000 + index)))
      edge.restore(mark)
      assert.deepEqual(edge.root(), root)
      for (let index = 0; index < size + 300; index += 1) other.push(toBinary(leafOf(index)))
      for (let index = size; index < size + 300; index += 1) edge.push(toBinary(leafOf(index)))
      assert.deepEqual(edge.root(), other.root())
    }
  })
})
