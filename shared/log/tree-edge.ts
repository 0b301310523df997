// The growing right edge of an RFC 6962 tree, in the shape of C2SP tiles: full tiles are handed out once and forever,
// what is not full yet is kept here. An append is one leaf and, on average, one node hash.
import { ZtError } from '#shared/errors/error.ts'
import { asBuffer, binarySha256, fromBinary, HASH_BYTES, type BinaryHash, type Hash } from './hash.ts'
import { EMPTY_ROOT } from './merkle.ts'

/** C2SP tlog-tiles: a tile holds the hashes of 8 levels of the tree, 256 at its base. */
export const TILE_HEIGHT = 8
export const TILE_WIDTH = 256
const TILE_BYTES = TILE_WIDTH * HASH_BYTES
const MAX_HEIGHT = 53

export interface FullTile {
  readonly level: number
  readonly index: number
  /** 256 hashes, 8192 bytes; never written again */
  readonly data: Buffer
}

/** What is needed to come back to a moment: cheap to take, as the buffers only ever grow behind it. */
export interface EdgeMark {
  readonly size: number
  readonly partials: readonly Buffer[]
}

export class TreeEdge {
  #size = 0
  // #partials[L]: the hashes at height 8·L that are not in a full tile; how many is a digit of the size in base 256.
  #partials: Buffer[] = []
  // #nodes[h] = 0x01 || left || right: `left` is the complete subtree of height h when bit h of the size is set.
  readonly #nodes: Buffer[] = []
  #onTile: (tile: FullTile) => void

  constructor(onTile: (tile: FullTile) => void = () => undefined) {
    this.#onTile = onTile
  }

  /**
   * An edge at `size`, a multiple of 256, out of its partial tiles of level 1 and up (that of level 0 is empty).
   * `partials[L]` holds exactly the hashes that the size calls for.
   */
  static resume(mark: EdgeMark, onTile?: (tile: FullTile) => void): TreeEdge {
    const edge = new TreeEdge(onTile)
    edge.restore({ size: mark.size, partials: mark.partials.map((partial) => grown(partial)) })
    return edge
  }

  get size(): number {
    return this.#size
  }

  push(leaf: BinaryHash): void {
    let carry = leaf
    let height = 0
    let rest = this.#size
    let index = rest
    this.#keep(0, index, carry)
    while (rest % 2 === 1) {
      const node = this.#node(height)
      node.write(carry, 1 + HASH_BYTES, HASH_BYTES, 'latin1')
      carry = binarySha256(node)
      height += 1
      rest = (rest - 1) / 2
      index = rest
      if (height % TILE_HEIGHT === 0) this.#keep(height / TILE_HEIGHT, index, carry)
    }
    this.#node(height).write(carry, 1, HASH_BYTES, 'latin1')
    this.#size += 1
  }

  /** The root of everything pushed. */
  root(): Hash {
    let root: BinaryHash | undefined
    let rest = this.#size
    for (let height = 0; rest > 0; height += 1) {
      if (rest % 2 === 1) root = this.#fold(height, root)
      rest = Math.floor(rest / 2)
    }
    return root === undefined ? EMPTY_ROOT : fromBinary(root)
  }

  /** The hashes at height 8·`level` that are in no full tile yet: a view that stays right while the edge grows. */
  partial(level: number): Buffer {
    const buffer = this.#partials[level]
    return buffer === undefined ? Buffer.alloc(0) : buffer.subarray(0, digit(this.#size, level) * HASH_BYTES)
  }

  mark(): EdgeMark {
    return { size: this.#size, partials: [...this.#partials] }
  }

  /** Forgets every leaf after `mark`, which was taken of this edge. */
  restore(mark: EdgeMark): void {
    this.#size = mark.size
    this.#partials = [...mark.partials]
    for (let level = 0; TILE_WIDTH ** level <= mark.size; level += 1) this.#refill(level)
  }

  // The nodes of heights 8·level … 8·level+7 again, out of the partial tile: the largest subtree comes first in it.
  #refill(level: number): void {
    const partial = this.partial(level)
    let from = 0
    for (let bit = TILE_HEIGHT - 1; bit >= 0; bit -= 1) {
      const width = 2 ** bit
      if (Math.floor(partial.length / HASH_BYTES / width) % 2 === 0) continue
      const subtree = subtreeOf(partial.subarray(from, from + width * HASH_BYTES))
      this.#node(level * TILE_HEIGHT + bit).set(subtree, 1)
      from += width * HASH_BYTES
    }
  }

  #fold(height: number, right: BinaryHash | undefined): BinaryHash {
    const node = this.#node(height)
    if (right === undefined) return node.toString('latin1', 1, 1 + HASH_BYTES)
    // The right half is scratch space of push, so the root may borrow it.
    node.write(right, 1 + HASH_BYTES, HASH_BYTES, 'latin1')
    return binarySha256(node)
  }

  #keep(level: number, index: number, hash: BinaryHash): void {
    const at = index % TILE_WIDTH
    const tile = (this.#partials[level] ??= Buffer.allocUnsafeSlow(TILE_BYTES))
    tile.write(hash, at * HASH_BYTES, HASH_BYTES, 'latin1')
    if (at !== TILE_WIDTH - 1) return
    // A new buffer for what follows: marks and readers may still hold the full one.
    this.#partials[level] = Buffer.allocUnsafeSlow(TILE_BYTES)
    this.#onTile({ level, index: (index - at) / TILE_WIDTH, data: tile })
  }

  #node(height: number): Buffer {
    const known = this.#nodes[height]
    if (known !== undefined) return known
    if (height > MAX_HEIGHT) throw new ZtError('ZT-413-SIZE', 'size: the tree is full')
    const node = Buffer.alloc(1 + 2 * HASH_BYTES)
    node[0] = 1
    this.#nodes[height] = node
    return node
  }
}

/** The hash over a power of two of consecutive hashes of one height, 32 bytes each. */
export function subtreeOf(hashes: Uint8Array): Hash {
  let row = asBuffer(hashes)
  while (row.length > HASH_BYTES) {
    const next = Buffer.allocUnsafe(row.length / 2)
    for (let at = 0; at < next.length; at += HASH_BYTES) {
      NODE.set(row.subarray(2 * at, 2 * at + 2 * HASH_BYTES), 1)
      next.write(binarySha256(NODE), at, HASH_BYTES, 'latin1')
    }
    row = next
  }
  return row
}

// Written and read within one statement of subtreeOf, never across a call.
const NODE = Buffer.alloc(1 + 2 * HASH_BYTES, 1)

function digit(size: number, level: number): number {
  return Math.floor(size / TILE_WIDTH ** level) % TILE_WIDTH
}

function grown(partial: Buffer): Buffer {
  const buffer = Buffer.allocUnsafeSlow(TILE_BYTES)
  partial.copy(buffer)
  return buffer
}
