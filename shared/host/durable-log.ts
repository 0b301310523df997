// An audit log on disk: one SQLite file, a hash chain and a Merkle tree over the same rows, a signed head after every
// commit. An append resolves only when its row is synced and a head over it is signed and stored; if it rejects, what it
// was to record must not be done. Serves node and hub alike. Trusts its clock and its key, not the file it opens.
import type { DatabaseSync } from 'node:sqlite'
import { setImmediate as yieldToLoop } from 'node:timers/promises'
import type { JsonObject } from '#shared/encoding/json-value.ts'
import { ZtError } from '#shared/errors/error.ts'
import { openCheckpoint, type Checkpoint, type TreeHead } from '#shared/log/checkpoint.ts'
import { sameBytes, type Hash } from '#shared/log/hash.ts'
import { proveConsistency, proveInclusion, treeRoot, type HashReader } from '#shared/log/merkle.ts'
import { parseVkey, type NoteSigner } from '#shared/log/note.ts'
import { ENTRY_AT, rowOf, type RowRecord, type StoredRow } from '#shared/log/record.ts'
import type { RowDraft } from '#shared/log/row.ts'
import { encodeEntries, parseTilePath, readHashesFrom, type TileId } from '#shared/log/tiles.ts'
import { TILE_WIDTH } from '#shared/log/tree-edge.ts'
import type { Clock } from './clock.ts'
import { HeadFile } from './head-file.ts'
import { recoverLog, type Recovery } from './log-recovery.ts'
import { LogStore, type Transaction } from './log-store.ts'
import { LogWriter, type PendingRow, type RowReceipt } from './log-writer.ts'
import { takeOwnerLock, type OwnerLock } from './owner-lock.ts'

export type { Transaction } from './log-store.ts'
export type { RowReceipt } from './log-writer.ts'

export interface DurableLogOptions {
  readonly file: string
  /** the name of the log and of its keys, with the epoch in it: `mesh.example/log/node/n1/e1` */
  readonly origin: string
  /** the Ed25519 key in force, named after the origin (createNoteSigner) */
  readonly signer: NoteSigner
  /** vkeys that were in force before it */
  readonly retired?: readonly string[]
  readonly clock: Clock
  /** id of this boot of the machine, to which the clock's monotonic time belongs */
  readonly boot: string
  /** whether a missing file is a new log or a lost one; refused unless said otherwise */
  readonly ifMissing?: 'create' | 'refuse'
  /** heads that somebody else holds of this log: it must contain them */
  readonly anchors?: readonly TreeHead[]
  /** said in the genesis row of a new log, besides its key */
  readonly genesis?: JsonObject
}

/**
 * Opens a log, or creates it if so asked, and takes it for this process alone.
 * Errors: ZT-503-AUDIT when it cannot be opened, does not exist or is open elsewhere; ZT-490-TRUNCATED, -FORK, -ROW,
 * -CHAIN, -TIME, -SIGNATURE when its rows contradict what it signed, `anchors` or `signer`: the files are left as found.
 */
export function openDurableLog(options: DurableLogOptions): DurableLog {
  if (options.signer.name !== options.origin) {
    throw new ZtError('ZT-490-SIGNATURE', 'the key of a log is named after its origin')
  }
  const lock = takeOwnerLock(`${options.file}.lock`)
  let store: LogStore | undefined
  let headFile: HeadFile | undefined
  try {
    store = openStore(options)
    headFile = new HeadFile(`${options.file}.head`)
    return start(options, { lock, store, headFile })
  } catch (cause) {
    headFile?.close()
    store?.close()
    lock.release()
    if (cause instanceof ZtError) throw cause
    throw new ZtError('ZT-503-AUDIT', 'the log cannot be opened', { cause })
  }
}

interface Parts {
  readonly lock: OwnerLock
  readonly store: LogStore
  readonly headFile: HeadFile
}

function openStore(options: DurableLogOptions): LogStore {
  if (options.ifMissing !== 'create') return LogStore.open(options.file)
  try {
    return LogStore.create(options.file)
  } catch (cause) {
    if (cause instanceof ZtError && cause.code === 'ZT-409-EXISTS') return LogStore.open(options.file)
    throw cause
  }
}

function start(options: DurableLogOptions, parts: Parts): DurableLog {
  const { store, headFile } = parts
  const { origin, signer } = options
  const verifiers = [signer.vkey, ...(options.retired ?? [])].map((vkey) => parseVkey(vkey))
  const recovery = recoverLog({ store, origin, verifiers, headNote: headFile.read() })
  const { chain } = recovery
  if (chain.size === 0 && options.ifMissing !== 'create') {
    throw new ZtError('ZT-490-TRUNCATED', 'the log has no rows')
  }
  if (chain.keyId !== '' && chain.keyId !== signer.keyId) {
    throw new ZtError('ZT-490-SIGNATURE', 'the key is not the one that is in force', {
      details: { inForce: chain.keyId, given: signer.keyId },
    })
  }
  const log = new DurableLog(options, parts, recovery)
  for (const anchor of options.anchors ?? []) log.assertExtends(anchor)
  log.begin(options, recovery)
  return log
}

export class DurableLog {
  readonly origin: string
  /** The same file, for tables of the owner. Never hold a transaction on it across an await. */
  readonly database: DatabaseSync
  readonly #parts: Parts
  readonly #writer: LogWriter
  #queue: PendingRow[] = []
  #flushing: Promise<void> | undefined
  #closed = false

  /** Use openDurableLog. */
  constructor(options: DurableLogOptions, parts: Parts, recovery: Recovery) {
    this.origin = options.origin
    this.database = parts.store.database
    this.#parts = parts
    this.#writer = new LogWriter(
      {
        store: parts.store,
        headFile: parts.headFile,
        origin: options.origin,
        clock: options.clock,
        boot: options.boot,
      },
      options.signer,
      recovery,
    )
  }

  /** Part of opening: the first row of a new log, or the row that says why this start is not an orderly one. */
  begin(options: DurableLogOptions, recovery: Recovery): void {
    const { size } = this
    const signed = recovery.signedHead?.size ?? 0
    this.#parts.store.setClosed(false)
    if (size === 0) {
      const obj = { ...options.genesis, vkey: options.signer.vkey }
      this.#writer.writeNow({ type: 'log.genesis', out: 'info', obj })
    } else if (recovery.reasons.length > 0) {
      const obj = { reasons: [...recovery.reasons], rows: size, signed }
      this.#writer.writeNow({ type: 'log.recovered', out: 'info', obj })
    }
  }

  /** How many rows are committed. */
  get size(): number {
    return this.#writer.size
  }

  /** Committed rows, the hash of the last one (base64url) and its time, which is not always the highest. */
  head(): { readonly size: number; readonly hash: string; readonly ts: number } {
    return this.#writer.head()
  }

  /**
   * The highest time of any row, UTC milliseconds, also from before it was opened. A clock that is behind it went back,
   * however many rows have said so since. The first call reads every row.
   */
  latest(): number {
    return this.#writer.latest()
  }

  /** The newest head that is signed and stored. */
  checkpoint(): Checkpoint {
    return this.#writer.checkpoint()
  }

  /**
   * Appends a row, together with every append that waits at the same time: one transaction, one sync, one signature.
   * `also` runs SQL in the same transaction: row and SQL happen both or not at all. What `also` throws as ZtError is
   * passed through, and fails this append alone.
   * Errors: ZT-422-SCHEMA and ZT-413-SIZE for the row; ZT-503-AUDIT when it could not be written, or is written but no
   * head over it could be stored; ZT-408-CLOCK when the monotonic clock went back.
   */
  append(draft: RowDraft, also?: (transaction: Transaction) => void): Promise<RowReceipt> {
    return this.#enqueue({ draft, also })
  }

  /**
   * Ends the current key: `key.rotated` is the last row it signs for. Once this resolves, `next` signs and the old
   * private key can be destroyed. Keep `next` where it survives before calling this; if this rejects with ZT-503-AUDIT,
   * keep both until an append has gone well: the rotation may have happened. Errors: as append.
   */
  rotateKey(next: NoteSigner): Promise<RowReceipt> {
    if (next.name !== this.origin) {
      return Promise.reject(new ZtError('ZT-490-SIGNATURE', 'the key of a log is named after its origin'))
    }
    const draft: RowDraft = { type: 'key.rotated', out: 'info', obj: { vkey: next.vkey } }
    return this.#enqueue({ draft, nextSigner: next })
  }

  /** RFC 9162 path of row `index` in the tree of the first `size` rows. ZT-422-SCHEMA outside the log. */
  proveInclusion(index: number, size: number = this.size): Hash[] {
    this.#checkSize(size)
    return proveInclusion(index, size, this.#hashes)
  }

  /** RFC 9162 proof that the first `oldSize` rows begin the first `size`. ZT-422-SCHEMA outside the log. */
  proveConsistency(oldSize: number, size: number = this.size): Hash[] {
    this.#checkSize(size)
    return proveConsistency(oldSize, size, this.#hashes)
  }

  /** Root of the first `size` rows. ZT-422-SCHEMA outside the log. */
  rootAt(size: number): Hash {
    this.#checkSize(size)
    return treeRoot(size, this.#hashes)
  }

  /** Throws ZT-490-TRUNCATED or ZT-490-FORK unless this log contains a head that somebody else holds of it. */
  assertExtends(head: TreeHead): void {
    if (head.size > this.size) {
      throw new ZtError(
        'ZT-490-TRUNCATED',
        `the log has ${this.size} rows and is anchored with ${head.size}`,
        {
          details: { size: this.size, anchored: head.size },
        },
      )
    }
    if (!sameBytes(this.rootAt(head.size), head.root)) {
      throw new ZtError('ZT-490-FORK', `the first ${head.size} rows are not those that are anchored`, {
        details: { size: head.size },
      })
    }
  }

  /** assertExtends for a head that still has to be opened: its note must be by a key of this log. */
  assertExtendsNote(note: string, vkeys: readonly string[]): void {
    this.assertExtends(
      openCheckpoint(
        note,
        this.origin,
        vkeys.map((vkey) => parseVkey(vkey)),
      ),
    )
  }

  /** Committed rows from `from` up to, not including, `to`. */
  *rows(from: number = 0, to: number = this.size): Generator<StoredRow> {
    for (const record of this.records(from, to)) yield rowOf(record)
  }

  /** The same, as the verifier takes them. */
  records(from: number = 0, to: number = this.size): Generator<RowRecord> {
    return this.#parts.store.records(from, Math.min(to, this.size))
  }

  /** Every kept signed head, oldest first. */
  checkpoints(): string[] {
    return this.#parts.store.checkpoints().map((stored) => stored.note)
  }

  /** The bytes of a C2SP tile or entry bundle, or undefined while the log is too short for it. ZT-422-SCHEMA: no tile. */
  tile(path: string): Uint8Array | undefined {
    const tile = parseTilePath(path)
    if (tile.level === 'entries') return this.#entries(tile)
    const hashes = this.#readTile(tile.level, tile.index)
    return hashes.length < tile.width * 32 ? undefined : hashes.subarray(0, tile.width * 32)
  }

  /** Writes what waits, marks an orderly end and releases the file. Later appends reject with ZT-503-AUDIT. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#flushing
    try {
      if (this.#writer.settled()) this.#parts.store.setClosed(true)
    } finally {
      this.#parts.headFile.close()
      this.#parts.store.close()
      this.#parts.lock.release()
    }
  }

  #enqueue(row: Omit<PendingRow, 'resolve' | 'reject'>): Promise<RowReceipt> {
    if (this.#closed) return Promise.reject(new ZtError('ZT-503-AUDIT', 'the log is closed'))
    return new Promise((resolve, reject) => {
      this.#queue.push({ ...row, resolve, reject })
      this.#flushing ??= this.#flush()
    })
  }

  // Every append that comes up in one turn of the event loop shares a commit.
  async #flush(): Promise<void> {
    while (this.#queue.length > 0) {
      await yieldToLoop()
      const waiting = this.#queue
      this.#queue = []
      const rest = this.#writer.writeBatch(waiting)
      this.#queue = [...rest, ...this.#queue]
    }
    this.#flushing = undefined
  }

  readonly #hashes: HashReader = readHashesFrom((level, index) => this.#readTile(level, index))

  #readTile(level: number, index: number): Uint8Array {
    const full = this.#parts.store.tile(level, index)
    if (full !== undefined) return full
    const { edge } = this.#writer
    const last = Math.floor(edge.size / TILE_WIDTH ** (level + 1))
    return index === last ? edge.partial(level) : new Uint8Array(0)
  }

  #entries(tile: TileId): Uint8Array | undefined {
    const from = tile.index * TILE_WIDTH
    if (from + tile.width > this.size) return undefined
    const entries = [...this.records(from, from + tile.width)].map((record) =>
      record.bytes.subarray(ENTRY_AT),
    )
    return encodeEntries(entries)
  }

  #checkSize(size: number): void {
    if (!Number.isSafeInteger(size) || size < 0 || size > this.size) {
      throw new ZtError('ZT-422-SCHEMA', `size: ${size} is not a size of this log of ${this.size} rows`)
    }
  }
}
