// The one place that adds rows. It keeps the tree in memory equal to the stored rows through every failure, and signs
// only what has been committed. A group of rows goes: transaction → commit (sync) → sign → store the head → answer.
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { ZtError, isZtError } from '#shared/errors/error.ts'
import { signCheckpoint, type Checkpoint, type TreeHead } from '#shared/log/checkpoint.ts'
import { binarySha256, fromBinary, toBinary, type BinaryHash } from '#shared/log/hash.ts'
import type { NoteSigner } from '#shared/log/note.ts'
import { encodeRow, type RowDraft } from '#shared/log/row.ts'
import { timeOrder, type RowTime } from '#shared/log/time-order.ts'
import { TreeEdge, type EdgeMark } from '#shared/log/tree-edge.ts'
import type { Clock } from './clock.ts'
import type { HeadFile } from './head-file.ts'
import type { Recovery } from './log-recovery.ts'
import type { LogStore, StoredCheckpoint, Transaction } from './log-store.ts'

export interface RowReceipt {
  readonly log: string
  readonly seq: number
  /** base64url */
  readonly hash: string
  /** the signed note of a head over this row */
  readonly checkpoint: string
}

export interface PendingRow {
  readonly draft: RowDraft
  readonly also?: ((transaction: Transaction) => void) | undefined
  /** set on `key.rotated`: who signs for the rows behind it */
  readonly nextSigner?: NoteSigner | undefined
  readonly resolve: (receipt: RowReceipt) => void
  readonly reject: (error: ZtError) => void
}

export interface WriterParts {
  readonly store: LogStore
  readonly headFile: HeadFile
  readonly origin: string
  readonly clock: Clock
  readonly boot: string
}

/** Rows that one commit holds at most: bounds how long it takes and how long an unsigned tail can be. */
const MAX_BATCH = 4_096
/** One signed head is kept for good about every so many rows, so that a verifier can say where a history departs. */
const KEEP_EVERY = 1_024

interface State {
  readonly mark: EdgeMark
  readonly head: BinaryHash
  readonly time: RowTime
  readonly signer: NoteSigner
}

interface Written {
  readonly row: PendingRow
  readonly seq: number
  readonly hash: BinaryHash
}

export class LogWriter {
  readonly edge: TreeEdge
  readonly #parts: WriterParts
  readonly #transaction: Transaction
  #head: BinaryHash
  #time: RowTime
  // Known from the first time on that somebody asks: not every owner does, and it means to read every row once.
  #latest: number | undefined
  #signer: NoteSigner
  #checkpoint: Checkpoint | undefined
  #stored: StoredCheckpoint | undefined
  // Committed rows that no stored head covers yet, and whose key signs for them.
  #owed: { readonly signer: NoteSigner; readonly head: TreeHead } | undefined
  // A commit that reported an error: either of the two is what the file holds now.
  #doubt: { readonly before: State; readonly after: State } | undefined
  #broken: ZtError | undefined

  constructor(parts: WriterParts, signer: NoteSigner, recovery: Recovery) {
    const { store } = parts
    this.#parts = parts
    this.edge = new TreeEdge((tile) => store.insertTile(tile))
    this.edge.restore(recovery.edge.mark())
    this.#transaction = {
      run: (sql, ...values) => store.run(sql, ...values),
      get: (sql, ...values) => store.get(sql, ...values),
    }
    this.#head = recovery.chain.head
    this.#time = recovery.chain.time
    this.#signer = signer
    this.#stored = recovery.signed
    if (recovery.signed !== undefined && recovery.signedHead !== undefined) {
      const { size, root } = recovery.signedHead
      this.#checkpoint = { origin: parts.origin, size, root, note: recovery.signed.note }
    }
  }

  get size(): number {
    return this.edge.size
  }

  head(): { readonly size: number; readonly hash: string; readonly ts: number } {
    return { size: this.size, hash: encodeBase64url(fromBinary(this.#head)), ts: this.#time.ts }
  }

  /** The highest time of any row, UTC milliseconds: it never goes back, whatever the clock does. */
  latest(): number {
    this.#latest ??= this.#parts.store.latestTime()
    return this.#latest
  }

  checkpoint(): Checkpoint {
    if (this.#checkpoint === undefined) throw new ZtError('ZT-503-AUDIT', 'the log has no signed head yet')
    return this.#checkpoint
  }

  /** Writes the first rows of `queue` in one commit, settles their promises and returns the rest. */
  writeBatch(queue: readonly PendingRow[]): PendingRow[] {
    const batch = firstBatch(queue)
    try {
      this.#settle()
      this.#signOwed()
      const written = this.#commit(batch)
      this.#signOwed()
      for (const { row, seq, hash } of written) row.resolve(this.#receipt(seq, hash))
    } catch (cause) {
      // Settled promises ignore this: rows that were refused one by one keep their own error.
      for (const row of batch) row.reject(notWritten(cause))
    }
    return queue.slice(batch.length)
  }

  /** Writes one row now. Errors: as DurableLog.append. */
  writeNow(draft: RowDraft): void {
    const failures: ZtError[] = []
    this.writeBatch([{ draft, resolve: () => undefined, reject: (error) => failures.push(error) }])
    const [failure] = failures
    if (failure !== undefined) throw failure
  }

  /** True if the file is known to hold exactly the rows in memory and a head over all of them. */
  settled(): boolean {
    try {
      this.#settle()
      this.#signOwed()
      return true
    } catch (cause) {
      if (cause instanceof Error) return false
      throw cause
    }
  }

  #commit(batch: readonly PendingRow[]): Written[] {
    const { store } = this.#parts
    if (store.database.isTransaction) {
      throw new ZtError('ZT-503-AUDIT', 'a transaction of the owner is open')
    }
    const before = this.#state()
    try {
      store.begin()
      const written = this.#writeRows(batch)
      if (written.length === 0) {
        store.rollback()
        this.#restore(before)
        return written
      }
      store.commit()
      // If we crash here, the rows are durable and unsigned: the next start takes them over.
      this.#owed = { signer: before.signer, head: { size: this.size, root: this.edge.root() } }
      return written
    } catch (cause) {
      this.#undo(before)
      throw cause
    }
  }

  #writeRows(batch: readonly PendingRow[]): Written[] {
    this.#tick()
    const written: Written[] = []
    for (const row of batch) {
      const result = this.#writeRow(row)
      if (result instanceof ZtError) row.reject(result)
      else written.push(result)
    }
    return written
  }

  // The time of the whole group, behind a row that says so when the clock was stepped.
  #tick(): void {
    const { clock, boot } = this.#parts
    const mono = clock.monotonicNs()
    const now: RowTime = {
      ts: Math.trunc(clock.now()),
      monoMs: Number(mono / 1_000_000n),
      monoNs: Number(mono % 1_000_000n),
      boot,
    }
    const before = this.#time
    const order = timeOrder(before, now)
    if (order === 'mono-went-back') throw new ZtError('ZT-408-CLOCK', 'the monotonic clock went back')
    this.#time = now
    if (this.#latest !== undefined) this.#latest = Math.max(this.#latest, now.ts)
    if (order === 'stepped') {
      this.#insert(this.#encode({ type: 'clock.stepped', out: 'info', obj: { from: before.ts, to: now.ts } }))
    }
  }

  // An error of the row itself is returned; one of the transaction is thrown.
  #writeRow(row: PendingRow): Written | ZtError {
    let body: Uint8Array
    try {
      body = this.#encode(row.draft)
    } catch (cause) {
      if (isZtError(cause)) return cause
      throw cause
    }
    const refusal = this.#runAlso(row)
    if (refusal !== undefined) return refusal
    const seq = this.size
    const hash = this.#insert(body)
    if (row.also !== undefined) this.#parts.store.run('RELEASE item')
    if (row.nextSigner !== undefined) this.#signer = row.nextSigner
    return { row, seq, hash }
  }

  // Leaves the savepoint open when `also` went well, so that the row joins it.
  #runAlso(row: PendingRow): ZtError | undefined {
    if (row.also === undefined) return undefined
    const { store } = this.#parts
    store.run('SAVEPOINT item')
    try {
      const result: unknown = row.also(this.#transaction)
      if (result instanceof Promise) throw new ZtError('ZT-500-INTERNAL', 'also: must not be asynchronous')
    } catch (cause) {
      // SQLite ends the whole transaction by itself on a full disk or an I/O error.
      if (!store.database.isTransaction) throw cause
      store.run('ROLLBACK TO item')
      store.run('RELEASE item')
      return notWritten(cause)
    }
    if (!store.database.isTransaction) throw new ZtError('ZT-503-AUDIT', 'also: ended the transaction')
    return undefined
  }

  #encode(draft: RowDraft): Uint8Array {
    const { ts, monoMs, monoNs, boot } = this.#time
    const mono = String(BigInt(monoMs) * 1_000_000n + BigInt(monoNs))
    const seq = this.size
    return encodeRow({
      ...draft,
      v: 1,
      log: this.#parts.origin,
      seq,
      ts,
      mono,
      boot,
      key: this.#signer.keyId,
    })
  }

  #insert(body: Uint8Array): BinaryHash {
    // 0x00 || prev || body: the leaf's input, and from 1 on the entry.
    const leaf = Buffer.allocUnsafe(33 + body.length)
    leaf[0] = 0
    leaf.write(this.#head, 1, 32, 'latin1')
    leaf.set(body, 33)
    const hash = binarySha256(leaf.subarray(1))
    this.#parts.store.insertRow(this.size, { prev: leaf.subarray(1, 33), hash: fromBinary(hash) }, body)
    this.edge.push(binarySha256(leaf))
    this.#head = hash
    return hash
  }

  // Signs and stores the head over committed rows. If we crash between the two writes, or before them, the rows are
  // there and are signed again: the same size and root, hence the same note.
  #signOwed(): void {
    if (this.#owed === undefined) return
    const { signer, head } = this.#owed
    const checkpoint = signCheckpoint(head, signer)
    const before = this.#stored
    const crossed = Math.floor(head.size / KEEP_EVERY) > Math.floor((before?.size ?? 0) / KEEP_EVERY)
    const stored = { size: head.size, note: checkpoint.note, keep: crossed || signer !== this.#signer }
    this.#parts.store.storeCheckpoint(stored, before?.keep === false ? before.size : undefined)
    this.#parts.headFile.write(checkpoint.note)
    this.#stored = stored
    this.#checkpoint = checkpoint
    this.#owed = undefined
  }

  #receipt(seq: number, hash: BinaryHash): RowReceipt {
    const { origin } = this.#parts
    return { log: origin, seq, hash: encodeBase64url(fromBinary(hash)), checkpoint: this.checkpoint().note }
  }

  #state(): State {
    return { mark: this.edge.mark(), head: this.#head, time: this.#time, signer: this.#signer }
  }

  #restore(state: State): void {
    this.edge.restore(state.mark)
    this.#head = state.head
    this.#time = state.time
    this.#signer = state.signer
  }

  // Back to `before`, but an error of COMMIT does not say whether it happened: the file is asked.
  #undo(before: State): void {
    this.#doubt = { before, after: this.#state() }
    this.#restore(before)
    try {
      this.#parts.store.rollback()
      this.#settle()
    } catch (cause) {
      // The file cannot be asked now: #doubt stays, and the next batch asks again before it writes.
      if (!(cause instanceof Error)) throw cause
    }
  }

  #settle(): void {
    if (this.#broken !== undefined) throw this.#broken
    if (this.#doubt === undefined) return
    const { before, after } = this.#doubt
    const stored = this.#parts.store.head()
    const hash = stored.hash === undefined ? undefined : toBinary(stored.hash)
    if (stored.size === after.mark.size && hash === after.head) {
      this.#restore(after)
      this.#owed = { signer: before.signer, head: { size: this.size, root: this.edge.root() } }
    } else if (stored.size !== before.mark.size || (hash !== undefined && hash !== before.head)) {
      this.#broken = new ZtError('ZT-490-CHAIN', 'somebody else wrote to the log', {
        details: { seq: stored.size },
      })
      throw this.#broken
    }
    this.#doubt = undefined
  }
}

// A rotation ends its batch: the old key signs for it, the new one for what follows.
function firstBatch(queue: readonly PendingRow[]): PendingRow[] {
  const batch = queue.slice(0, MAX_BATCH)
  const rotation = batch.findIndex((row) => row.nextSigner !== undefined)
  return rotation < 0 ? batch : batch.slice(0, rotation + 1)
}

function notWritten(cause: unknown): ZtError {
  if (isZtError(cause)) return cause
  return new ZtError('ZT-503-AUDIT', 'the audit row could not be written', { cause })
}
