// RFC 6962 / RFC 9162 Merkle trees: roots and proofs out of stored subtree hashes, and the verification of proofs.
// Verification trusts nothing but the leaf hash or old root it is given, and the new root.
import { ZtError } from '#shared/errors/error.ts'
import { HASH_BYTES, sameBytes, sha256, type Hash } from './hash.ts'

/**
 * Gives the hash of the complete subtree of 2^height leaves that starts at leaf index·2^height.
 * Only subtrees that lie wholly inside the stored tree are asked for.
 */
export type HashReader = (height: number, index: number) => Hash

export const EMPTY_ROOT: Hash = sha256(new Uint8Array(0))

// RFC 9162 §2.1.1: 0x01 keeps a node from being passed off as a leaf.
export function nodeHash(left: Hash, right: Hash): Hash {
  const input = Buffer.allocUnsafe(1 + 2 * HASH_BYTES)
  input[0] = 1
  input.set(left, 1)
  input.set(right, 1 + HASH_BYTES)
  return sha256(input)
}

/** The root of the first `size` leaves. */
export function treeRoot(size: number, read: HashReader): Hash {
  checkSize('size', size)
  return size === 0 ? EMPTY_ROOT : rangeHash(0, size, read)
}

/** RFC 9162 §2.1.3.1, the path of leaf `index` in the tree of the first `size` leaves. ZT-422-SCHEMA outside it. */
export function proveInclusion(index: number, size: number, read: HashReader): Hash[] {
  checkSize('size', size)
  checkSize('index', index)
  if (index >= size) throw new ZtError('ZT-422-SCHEMA', `index: ${index} is not in a tree of ${size}`)
  const path: Hash[] = []
  let lo = 0
  let hi = size
  while (hi - lo > 1) {
    const middle = lo + splitAt(hi - lo)
    if (index < middle) {
      path.push(rangeHash(middle, hi, read))
      hi = middle
    } else {
      path.push(rangeHash(lo, middle, read))
      lo = middle
    }
  }
  return path.toReversed()
}

/** RFC 9162 §2.1.4.1, the proof that the first `oldSize` leaves are a prefix of the first `size`. ZT-422-SCHEMA outside. */
export function proveConsistency(oldSize: number, size: number, read: HashReader): Hash[] {
  checkSize('size', size)
  checkSize('old size', oldSize)
  if (oldSize > size) throw new ZtError('ZT-422-SCHEMA', `old size: ${oldSize} is beyond a tree of ${size}`)
  if (oldSize === 0 || oldSize === size) return []
  const path: Hash[] = []
  let lo = 0
  let hi = size
  while (hi !== oldSize) {
    const middle = lo + splitAt(hi - lo)
    if (oldSize <= middle) {
      path.push(rangeHash(middle, hi, read))
      hi = middle
    } else {
      path.push(rangeHash(lo, middle, read))
      lo = middle
    }
  }
  // The verifier knows the old root: when the prefix is one whole left subtree, its hash is that root.
  if (lo !== 0) path.push(rangeHash(lo, hi, read))
  return path.toReversed()
}

export interface InclusionClaim {
  readonly leaf: Hash
  readonly index: number
  readonly size: number
  readonly root: Hash
  readonly proof: readonly Hash[]
}

/** RFC 9162 §2.1.3.2. Throws ZT-490-PROOF unless `leaf` is leaf `index` of the tree of `size` leaves under `root`. */
export function verifyInclusion(claim: InclusionClaim): void {
  const { index, size, proof } = claim
  if (!isSize(index) || !isSize(size) || index >= size) throw badProof(`index ${index} outside size ${size}`)
  checkHashes([claim.leaf, claim.root, ...proof])
  let fn = BigInt(index)
  let sn = BigInt(size - 1)
  let hash = claim.leaf
  for (const step of proof) {
    if (sn === 0n) throw badProof('inclusion proof is longer than its tree')
    const isRight = odd(fn) || fn === sn
    hash = isRight ? nodeHash(step, hash) : nodeHash(hash, step)
    const skip = isRight ? trailingZeros(fn) : 0n
    fn >>= skip + 1n
    sn >>= skip + 1n
  }
  if (sn !== 0n) throw badProof('inclusion proof is shorter than its tree')
  if (!sameBytes(hash, claim.root)) throw badProof('inclusion proof leads to another root')
}

export interface ConsistencyClaim {
  readonly oldSize: number
  readonly oldRoot: Hash
  readonly size: number
  readonly root: Hash
  readonly proof: readonly Hash[]
}

/** RFC 9162 §2.1.4.2. Throws ZT-490-PROOF unless the tree of `oldSize` under `oldRoot` is a prefix of the newer one. */
export function verifyConsistency(claim: ConsistencyClaim): void {
  const { oldSize, oldRoot, size, root, proof } = claim
  if (!isSize(oldSize) || !isSize(size) || oldSize > size)
    throw badProof(`old size ${oldSize} beyond size ${size}`)
  checkHashes([oldRoot, root, ...proof])
  if (oldSize === size || oldSize === 0) {
    if (proof.length !== 0) throw badProof('consistency proof where none is needed')
    if (!sameBytes(oldRoot, oldSize === 0 ? EMPTY_ROOT : root)) throw badProof('one size has two roots')
    return
  }
  const roots = replayConsistency(claim)
  if (!sameBytes(roots.old, oldRoot)) throw badProof('consistency proof leads to another old root')
  if (!sameBytes(roots.new, root)) throw badProof('consistency proof leads to another new root')
}

// Steps 1–6 of RFC 9162 §2.1.4.2 for 0 < oldSize < size.
function replayConsistency(claim: ConsistencyClaim): { old: Hash; new: Hash } {
  const shift = trailingZeros(BigInt(claim.oldSize))
  let fn = BigInt(claim.oldSize - 1) >> shift
  let sn = BigInt(claim.size - 1) >> shift
  const path = fn === 0n ? [claim.oldRoot, ...claim.proof] : claim.proof
  const [first, ...rest] = path
  if (first === undefined) throw badProof('consistency proof is empty')
  let oldHash = first
  let newHash = first
  for (const step of rest) {
    if (sn === 0n) throw badProof('consistency proof is longer than its trees')
    if (odd(fn) || fn === sn) {
      oldHash = nodeHash(step, oldHash)
      newHash = nodeHash(step, newHash)
      const skip = trailingZeros(fn)
      fn >>= skip
      sn >>= skip
    } else {
      newHash = nodeHash(newHash, step)
    }
    fn >>= 1n
    sn >>= 1n
  }
  if (sn !== 0n) throw badProof('consistency proof is shorter than its trees')
  return { old: oldHash, new: newHash }
}

// The hash of leaves [lo, hi): lo is a multiple of every power of two up to the first split, as every range here is.
function rangeHash(lo: number, hi: number, read: HashReader): Hash {
  const width = hi - lo
  if (width === 1) return read(0, lo)
  const left = splitAt(width)
  if (2 * left === width) return read(Math.log2(width), lo / width)
  return nodeHash(rangeHash(lo, lo + left, read), rangeHash(lo + left, hi, read))
}

// RFC 9162 §2.1.1: n leaves split at the largest power of two smaller than n (n > 1).
function splitAt(n: number): number {
  let power = 1
  while (power * 2 < n) power *= 2
  return power
}

function odd(n: bigint): boolean {
  return (n & 1n) === 1n
}

function trailingZeros(n: bigint): bigint {
  let count = 0n
  for (let rest = n; rest !== 0n && !odd(rest); rest >>= 1n) count += 1n
  return count
}

function isSize(n: number): boolean {
  return Number.isSafeInteger(n) && n >= 0
}

function checkSize(name: string, n: number): void {
  if (!isSize(n)) throw new ZtError('ZT-422-SCHEMA', `${name}: ${n} is not a size of a tree`)
}

function checkHashes(hashes: readonly Hash[]): void {
  if (hashes.some((hash) => hash.length !== HASH_BYTES)) throw badProof('a hash of a proof is not 32 bytes')
}

function badProof(message: string): ZtError {
  return new ZtError('ZT-490-PROOF', message)
}
