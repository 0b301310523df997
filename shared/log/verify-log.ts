// Verifies a whole log: every row, and every head that somebody signed or keeps of it, each with the key that was in
// force for its size. Trusts the registered keys and the anchors it is given, and nothing in the log itself.
import { ZtError, isZtError } from '#shared/errors/error.ts'
import type { ErrorCode } from '#shared/errors/codes.ts'
import { ChainVerifier } from './chain.ts'
import { claimedHead, openCheckpoint, type TreeHead } from './checkpoint.ts'
import { encodeBase64 } from '#shared/encoding/base64url.ts'
import { sameBytes, type Hash } from './hash.ts'
import { EMPTY_ROOT } from './merkle.ts'
import { parseVkey, type NoteVerifier } from './note.ts'
import { recordOf, type RowRecord, type StoredRow } from './record.ts'
import { TreeEdge } from './tree-edge.ts'

export interface LogTrust {
  readonly origin: string
  /** keys that the log was registered with; a rotated key counts when the one before it signed for its row */
  readonly vkeys: readonly string[]
  /** heads that others hold of the log */
  readonly anchors?: readonly TreeHead[]
}

export interface BadRow {
  /** the first row that is bad, or that no good head vouches for */
  readonly seq: number
  readonly code: ErrorCode
  readonly message: string
}

export interface LogReport {
  /** rows that passed */
  readonly rows: number
  /** the newest signed head that these rows match, with its root in base64; 0 when there is none */
  readonly size: number
  readonly root: string
  /** signed heads and anchors that matched */
  readonly heads: number
  /** absent when, and only when, all of it holds */
  readonly firstBad?: BadRow
}

interface Expected {
  readonly size: number
  /** a signed note, or the root that an anchor names */
  readonly claim: { readonly note: string } | { readonly root: Hash }
}

export class LogVerifier {
  readonly #trust: LogTrust
  readonly #chain: ChainVerifier
  readonly #edge = new TreeEdge()
  readonly #trusted: Map<string, NoteVerifier>
  // Sorted by size; [0] is the next one to be met.
  #expected: Expected[] = []
  #next = Number.POSITIVE_INFINITY
  #covered = 0
  #root: Hash = EMPTY_ROOT
  #heads = 0
  #bad: BadRow | undefined

  /** ZT-422-NOTE when a vkey is malformed. */
  constructor(trust: LogTrust) {
    this.#trust = trust
    this.#chain = new ChainVerifier({ origin: trust.origin })
    this.#trusted = new Map(trust.vkeys.map((vkey) => [vkey, parseVkey(vkey)]))
    this.#expect((trust.anchors ?? []).map(({ size, root }) => ({ size, claim: { root } })))
  }

  /** Heads that the rows to come have to match: those already passed are checked for at once. */
  addCheckpoints(notes: readonly string[]): void {
    this.#guard(this.#covered, () => {
      this.#expect(notes.map((note) => ({ size: claimedHead(note).size, claim: { note } })))
    })
  }

  /** Takes the next row; false once something is bad, and for ever after. */
  push(record: RowRecord): boolean {
    if (this.#bad !== undefined) return false
    this.#guard(this.#chain.size, () => this.#edge.push(this.#chain.push(record)))
    if (this.#edge.size === this.#next) this.#meetHeads()
    return this.#bad === undefined
  }

  /** A row that could not be read is a failed check. */
  unreadable(cause: unknown): void {
    this.#guard(this.#chain.size, () => {
      throw isZtError(cause)
        ? cause
        : new ZtError('ZT-490-UNVERIFIABLE', 'the log cannot be read further', { cause })
    })
  }

  /** What holds so far, taking the rows seen for all that there are. */
  report(): LogReport {
    const report = {
      rows: this.#edge.size,
      size: this.#covered,
      root: encodeBase64(this.#root),
      heads: this.#heads,
    }
    const firstBad = this.#bad ?? this.#badEnd()
    return firstBad === undefined ? report : { ...report, firstBad }
  }

  #expect(heads: readonly Expected[]): void {
    this.#expected = [...this.#expected, ...heads].toSorted((a, b) => a.size - b.size)
    this.#next = this.#expected[0]?.size ?? Number.POSITIVE_INFINITY
    if (this.#next <= this.#edge.size) this.#meetHeads()
  }

  #meetHeads(): void {
    const size = this.#edge.size
    const met = this.#expected.filter((head) => head.size <= size)
    this.#expected = this.#expected.filter((head) => head.size > size)
    this.#next = this.#expected[0]?.size ?? Number.POSITIVE_INFINITY
    const root = this.#edge.root()
    for (const head of met) this.#guard(this.#covered, () => this.#meet(head, root))
  }

  #meet(head: Expected, root: Hash): void {
    if (head.size < this.#edge.size) {
      throw new ZtError('ZT-490-UNVERIFIABLE', `the head of size ${head.size} came after its rows`)
    }
    if ('root' in head.claim) this.#meetAnchor(head.claim.root, root)
    else this.#meetCheckpoint(head.claim.note, root)
    this.#heads += 1
  }

  #meetAnchor(anchored: Hash, root: Hash): void {
    if (sameBytes(anchored, root)) return
    throw new ZtError('ZT-490-ANCHOR', `the first ${this.#edge.size} rows are not those that were anchored`)
  }

  #meetCheckpoint(note: string, root: Hash): void {
    const { origin } = this.#trust
    const opened = openCheckpoint(note, origin, this.#keysFor(this.#edge.size))
    if (!sameBytes(opened.root, root)) {
      throw new ZtError('ZT-490-FORK', `the first ${opened.size} rows are not those that were signed for`)
    }
    this.#covered = opened.size
    this.#root = root
    this.#endorse(opened.size)
  }

  // A key vouches for its successor by signing the head whose last row names it.
  #endorse(size: number): void {
    const last = this.#chain.keyRows.at(-1)
    if (last?.seq === size - 1 && size > 1) this.#trusted.set(last.vkey, parseVkey(last.vkey))
  }

  // `key.rotated` in row s is the last row of the old key: it signs sizes up to s + 1, the new one those above.
  #keysFor(size: number): NoteVerifier[] {
    const inForce = this.#chain.keyRows.findLast((row) => row.seq === 0 || row.seq < size - 1)
    if (inForce === undefined) return [...this.#trusted.values()]
    const key = this.#trusted.get(inForce.vkey)
    if (key !== undefined) return [key]
    throw new ZtError('ZT-490-SIGNATURE', `row ${inForce.seq} names a key that nobody vouches for`)
  }

  #badEnd(): BadRow | undefined {
    const rows = this.#edge.size
    const missing = this.#expected.at(-1)
    if (missing !== undefined) {
      const message = `the log has ${rows} rows, and a head names ${missing.size}`
      return { seq: rows, code: 'ZT-490-TRUNCATED', message }
    }
    if (this.#covered === rows && rows > 0) return undefined
    const message =
      rows === 0 ? 'the log has no rows' : `no signed head covers row ${this.#covered} and those behind it`
    return { seq: this.#covered, code: 'ZT-490-SIGNATURE', message }
  }

  #guard(seq: number, action: () => void): void {
    if (this.#bad !== undefined) return
    try {
      action()
    } catch (cause) {
      if (!isZtError(cause)) throw cause
      // A stored head that is no note at all is as good as unsigned.
      const code = cause.code === 'ZT-422-NOTE' ? 'ZT-490-SIGNATURE' : cause.code
      this.#bad = { seq, code, message: cause.message }
    }
  }
}

export interface LogInput extends LogTrust {
  readonly rows: Iterable<StoredRow>
  /** every stored head, as signed notes */
  readonly checkpoints: readonly string[]
}

/** Verifies a log from its first row to its last. Never throws for what is in the log: see firstBad. */
export function verifyLog(input: LogInput): LogReport {
  const verifier = new LogVerifier(input)
  verifier.addCheckpoints(input.checkpoints)
  try {
    for (const row of input.rows) {
      if (!verifier.push(recordOf(row))) break
    }
  } catch (cause) {
    verifier.unreadable(cause)
  }
  return verifier.report()
}
