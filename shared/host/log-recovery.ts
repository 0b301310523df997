// What has to hold before a log file may be written to again: its rows agree with the newest head that was signed over
// them. A tail that was committed and not yet signed is taken over; anything else refuses, and the files stay as evidence.
import { ZtError, isZtError } from '#shared/errors/error.ts'
import { ChainVerifier } from '#shared/log/chain.ts'
import { openCheckpoint, type OpenedCheckpoint, type TreeHead } from '#shared/log/checkpoint.ts'
import { HASH_BYTES, sameBytes, type Hash } from '#shared/log/hash.ts'
import type { NoteVerifier } from '#shared/log/note.ts'
import { GENESIS_PREV } from '#shared/log/row.ts'
import { subtreeOf, TILE_WIDTH, TreeEdge, type FullTile } from '#shared/log/tree-edge.ts'
import type { LogStore, StoredCheckpoint } from './log-store.ts'

export interface RecoveryInput {
  readonly store: LogStore
  readonly origin: string
  /** keys whose heads are believed: the one in force and those retired before it */
  readonly verifiers: readonly NoteVerifier[]
  /** the note of the head file, if there is one */
  readonly headNote: string | undefined
}

export interface Recovery {
  readonly edge: TreeEdge
  readonly chain: ChainVerifier
  /** the newest stored head; undefined when there is none */
  readonly signed: StoredCheckpoint | undefined
  readonly signedHead: TreeHead | undefined
  /** why a `log.recovered` row has to be written; empty after an orderly end */
  readonly reasons: readonly string[]
}

/**
 * Walks the rows behind the newest signed head.
 * Errors: ZT-490-TRUNCATED when rows are missing that were signed for; ZT-490-FORK when they are others;
 * ZT-490-ROW, -CHAIN, -TIME when the tail is damaged; ZT-490-SIGNATURE when a stored head is not by a known key.
 */
export function recoverLog(input: RecoveryInput): Recovery {
  const { store } = input
  const size = store.head().size
  const stored = store.checkpoints().at(-1)
  const signedHead =
    stored === undefined ? undefined : openCheckpoint(stored.note, input.origin, input.verifiers)
  const released = headOf(input)
  const heads = [signedHead, released].filter((head) => head !== undefined)
  for (const head of heads) refuseShorter(size, head)
  const walk = startWalk(input, Math.min(size, ...heads.map((head) => head.size)))
  walkTail(walk, size, heads)
  const reasons: string[] = []
  if (!store.wasClosed()) reasons.push('not-closed')
  if (size > (signedHead?.size ?? 0)) reasons.push('unsigned-tail')
  if (store.restoreTriggers()) reasons.push('tripwires-missing')
  return { edge: walk.edge, chain: walk.chain, signed: stored, signedHead, reasons }
}

// A torn or foreign head file says nothing; one that is by our key binds us.
function headOf(input: RecoveryInput): OpenedCheckpoint | undefined {
  if (input.headNote === undefined) return undefined
  try {
    return openCheckpoint(input.headNote, input.origin, input.verifiers)
  } catch (cause) {
    if (isZtError(cause)) return undefined
    throw cause
  }
}

function refuseShorter(size: number, head: TreeHead): void {
  if (size >= head.size) return
  throw new ZtError('ZT-490-TRUNCATED', `the log has ${size} rows and signed for ${head.size}`, {
    details: { size, signed: head.size },
  })
}

interface Walk {
  readonly store: LogStore
  readonly chain: ChainVerifier
  readonly edge: TreeEdge
}

// The walk starts at the last full tile below the oldest head, and one row earlier: that row's time is compared with.
function startWalk(input: RecoveryInput, oldest: number): Walk {
  const { store, origin } = input
  const base = oldest - (oldest % TILE_WIDTH)
  const seq = Math.max(0, base - 1)
  const prev = seq === 0 ? GENESIS_PREV : store.hashOf(seq - 1)
  if (prev === undefined) throw new ZtError('ZT-490-CHAIN', 'a row is missing', { details: { seq: seq - 1 } })
  const chain = new ChainVerifier({ origin, seq, prev })
  return { store, chain, edge: resumeEdge(store, base) }
}

/** The edge of the tree of the first `base` rows (a multiple of 256) out of full tiles. ZT-490-CHAIN if one is missing. */
function resumeEdge(store: LogStore, base: number): TreeEdge {
  const partials: Buffer[] = [Buffer.alloc(0)]
  for (let level = 1; TILE_WIDTH ** level <= base; level += 1) {
    const hashes = Math.floor(base / TILE_WIDTH ** level)
    const first = hashes - (hashes % TILE_WIDTH)
    const roots: Hash[] = []
    for (let index = first; index < hashes; index += 1)
      roots.push(subtreeOf(fullTile(store, level - 1, index)))
    partials.push(Buffer.concat(roots))
  }
  return TreeEdge.resume({ size: base, partials }, (tile) => compareTile(store, tile))
}

function fullTile(store: LogStore, level: number, index: number): Uint8Array {
  const tile = store.tile(level, index)
  if (tile?.length === TILE_WIDTH * HASH_BYTES) return tile
  throw new ZtError('ZT-490-CHAIN', 'a tile of the log is missing', { details: { level, index } })
}

function compareTile(store: LogStore, tile: FullTile): void {
  if (sameBytes(fullTile(store, tile.level, tile.index), tile.data)) return
  throw new ZtError('ZT-490-ROW', 'a tile of the log is not what its rows make', {
    details: { level: tile.level, index: tile.index },
  })
}

function walkTail(walk: Walk, size: number, heads: readonly TreeHead[]): void {
  compareHeads(walk, heads)
  for (const record of walk.store.records(walk.chain.size, size)) {
    const leaf = walk.chain.push(record)
    if (record.seq < walk.edge.size) continue
    walk.edge.push(leaf)
    compareHeads(walk, heads)
  }
  if (walk.chain.size !== size) {
    throw new ZtError('ZT-490-CHAIN', 'a row is missing', { details: { seq: walk.chain.size } })
  }
}

function compareHeads(walk: Walk, heads: readonly TreeHead[]): void {
  for (const head of heads) {
    if (head.size !== walk.edge.size || sameBytes(walk.edge.root(), head.root)) continue
    throw new ZtError('ZT-490-FORK', `the first ${head.size} rows are not those that were signed for`, {
      details: { size: head.size },
    })
  }
}
