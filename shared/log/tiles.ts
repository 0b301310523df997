// C2SP tlog-tiles: how a log is laid out as static files, so that verifiers written by others can read it.
import { ZtError } from '#shared/errors/error.ts'
import { asBuffer, HASH_BYTES, type Hash } from './hash.ts'
import type { HashReader } from './merkle.ts'
import { subtreeOf, TILE_HEIGHT, TILE_WIDTH } from './tree-edge.ts'

export const MAX_ENTRY_BYTES = 65_535

export interface TileId {
  /** 'entries', or the level: 0 holds leaf hashes, each next one 8 levels higher */
  readonly level: number | 'entries'
  readonly index: number
  /** 256, or how much of a partial tile is meant */
  readonly width: number
}

/** `tile/<L>/<N>[.p/<W>]` or `tile/entries/<N>[.p/<W>]` (C2SP tlog-tiles). */
export function tilePath(tile: TileId): string {
  const partial = tile.width === TILE_WIDTH ? '' : `.p/${tile.width}`
  return `tile/${tile.level}/${indexPath(tile.index)}${partial}`
}

/** The tile that a path names, or ZT-422-SCHEMA: every tile has exactly one path. */
export function parseTilePath(path: string): TileId {
  const match = TILE_PATH.exec(path)
  const [, level, index, width] = match ?? []
  if (level === undefined || index === undefined) throw notTile(path)
  const tile: TileId = {
    level: level === 'entries' ? level : Number(level),
    index: Number(index.replaceAll(/[x/]/g, '')),
    width: width === undefined ? TILE_WIDTH : Number(width),
  }
  const exact = Number.isSafeInteger(tile.index) && tile.width <= TILE_WIDTH && tilePath(tile) === path
  if (!exact) throw notTile(path)
  return tile
}

const TILE_PATH =
  /^tile\/(entries|[0-9]|[1-5][0-9]|6[0-3])\/((?:x[0-9]{3}\/){0,5}[0-9]{3})(?:\.p\/([1-9][0-9]{0,2}))?$/

// C2SP tlog-tiles: groups of three digits, all but the last prefixed with x: 1234067 is x001/x234/067.
function indexPath(index: number): string {
  const digits = String(index)
  const padded = digits.padStart(Math.ceil(digits.length / 3) * 3, '0')
  const groups = padded.match(/.{3}/g) ?? []
  return groups.map((group, at) => (at === groups.length - 1 ? group : `x${group}`)).join('/')
}

/** Every tile of a tree of `size` leaves, in order, partial ones at the right edge included. */
export function* tilesOf(size: number): Generator<TileId> {
  yield* tilesOfLevel('entries', size)
  for (let level = 0, hashes = size; hashes > 0; level += 1, hashes = Math.floor(hashes / TILE_WIDTH)) {
    yield* tilesOfLevel(level, hashes)
  }
}

function* tilesOfLevel(level: TileId['level'], count: number): Generator<TileId> {
  const full = Math.floor(count / TILE_WIDTH)
  for (let index = 0; index < full; index += 1) yield { level, index, width: TILE_WIDTH }
  const width = count % TILE_WIDTH
  if (width > 0) yield { level, index: full, width }
}

/** An entry bundle: each entry behind its length in two bytes, big-endian (C2SP tlog-tiles). */
export function encodeEntries(entries: readonly Uint8Array[]): Uint8Array {
  const parts: Uint8Array[] = []
  for (const entry of entries) {
    if (entry.length > MAX_ENTRY_BYTES)
      throw new ZtError('ZT-413-SIZE', 'an entry is larger than 65535 bytes')
    parts.push(Buffer.of(entry.length >> 8, entry.length & 255), entry)
  }
  return Buffer.concat(parts)
}

/** The entries of a bundle; ZT-422-SCHEMA if it ends inside one. */
export function decodeEntries(bundle: Uint8Array): Uint8Array[] {
  const bytes = asBuffer(bundle)
  const entries: Uint8Array[] = []
  for (let at = 0; at < bytes.length;) {
    const end = at + 2 + (at + 2 <= bytes.length ? bytes.readUInt16BE(at) : bytes.length)
    if (end > bytes.length) throw new ZtError('ZT-422-SCHEMA', 'an entry bundle ends inside an entry')
    entries.push(bytes.subarray(at + 2, end))
    at = end
  }
  return entries
}

/** The hashes of a tile as far as they are known: a multiple of 32 bytes, at most 8192. */
export type TileReader = (level: number, index: number) => Uint8Array

/** Subtree hashes out of tiles. ZT-490-UNVERIFIABLE when a tile is missing or too short. */
export function readHashesFrom(readTile: TileReader): HashReader {
  return (height, index) => {
    const level = Math.floor(height / TILE_HEIGHT)
    const width = 2 ** (height % TILE_HEIGHT)
    const first = index * width
    const tile = readTile(level, Math.floor(first / TILE_WIDTH))
    const from = (first % TILE_WIDTH) * HASH_BYTES
    const hashes = tile.subarray(from, from + width * HASH_BYTES)
    if (hashes.length !== width * HASH_BYTES) {
      throw new ZtError('ZT-490-UNVERIFIABLE', 'a tile of the log is missing', { details: { level, index } })
    }
    return copy(subtreeOf(hashes))
  }
}

function copy(hash: Hash): Hash {
  return Uint8Array.prototype.slice.call(hash)
}

function notTile(path: string): ZtError {
  return new ZtError('ZT-422-SCHEMA', `${JSON.stringify(path.slice(0, 64))} is not the path of a tile`)
}
