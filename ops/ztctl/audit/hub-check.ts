// The hub's log, checked entry by entry, and then against the heads of it that nodes hold: its own rows, keys and heads
// can all be right, and it is still not the log that the nodes were shown.
import type { TreeHead } from '#shared/log/checkpoint.ts'
import { sameBytes, toBinary, type BinaryHash, type Hash } from '#shared/log/hash.ts'
import { leafHash } from '#shared/log/row.ts'
import { TreeEdge } from '#shared/log/tree-edge.ts'
import type { BadRow, LogReport, LogTrust } from '#shared/log/verify-log.ts'
import type { HeldHead } from './held-heads.ts'
import { LogCheck } from './log-check.ts'
import { Revocations } from './revocations.ts'
import { SuspectRows } from './suspect-rows.ts'
import { Witnessed } from './witnessed.ts'

export class HubCheck {
  readonly witnessed: Witnessed = new Witnessed()
  readonly revocations: Revocations = new Revocations()
  readonly rows: SuspectRows = new SuspectRows()
  readonly origin: string
  readonly #check: LogCheck
  readonly #leaves: BinaryHash[] = []
  #contradiction: BadRow | undefined

  /** Errors: ZT-422-NOTE for a malformed key. */
  constructor(trust: LogTrust) {
    this.origin = trust.origin
    this.#check = new LogCheck(trust, (row) => {
      this.witnessed.take(row)
      this.revocations.take(row)
      this.rows.take(row)
    })
  }

  /** Entries that hold so far. */
  get size(): number {
    return this.#leaves.length
  }

  /** Signed heads that the entries to come have to match. */
  expect(checkpoints: readonly string[]): void {
    this.#check.expect(checkpoints)
  }

  /** Takes the next entry; false once it is known what is bad. */
  push(entry: Uint8Array): boolean {
    const holds = this.#check.push(entry)
    if (holds) this.#leaves.push(toBinary(leafHash(entry)))
    return holds
  }

  /** The log could not be read further: a failed check. Throws what is no finding but a fault of ours. */
  fail(cause: unknown): void {
    this.#check.fail(cause)
  }

  /** The log must have each of these heads: ZT-490-FORK or ZT-490-TRUNCATED in the report if it has not. */
  compare(heads: readonly HeldHead[]): void {
    let agreed = 0
    for (const { head, root } of this.#rootsAt(heads)) {
      this.#contradiction ??= this.#judge(head, { root, agreed })
      agreed = head.size
    }
  }

  report(): LogReport {
    const report = this.#check.report()
    if (report.firstBad !== undefined || this.#contradiction === undefined) return report
    return { ...report, firstBad: this.#contradiction }
  }

  #judge(head: HeldHead, { root, agreed }: { root: Hash | undefined; agreed: number }): BadRow | undefined {
    const named = `row ${head.seq} of ${head.holder} names`
    if (head.origin !== undefined && head.origin !== this.origin) {
      return { seq: agreed, code: 'ZT-490-FORK', message: `${named} a head of another log, ${head.origin}` }
    }
    if (root === undefined) {
      const message = `${named} a head of size ${head.size}, and the log has ${this.size} rows`
      return { seq: this.size, code: 'ZT-490-TRUNCATED', message }
    }
    if (sameBytes(root, head.root)) return undefined
    const message = `${named} another head of size ${head.size}: the first ${head.size} rows are not those that it was shown`
    return { seq: agreed, code: 'ZT-490-FORK', message }
  }

  // One pass over the leaves for all of them, in the order of their sizes.
  *#rootsAt(heads: readonly HeldHead[]): Generator<{ head: HeldHead; root: Hash | undefined }> {
    const edge = new TreeEdge()
    for (const head of heads.toSorted((a, b) => a.size - b.size)) {
      for (const leaf of this.#leaves.slice(edge.size, head.size)) edge.push(leaf)
      yield { head, root: edge.size === head.size ? edge.root() : undefined }
    }
  }
}

/** The largest size among heads; 0 for none. */
export function largestSize(heads: readonly TreeHead[]): number {
  return heads.reduce((largest, { size }) => Math.max(largest, size), 0)
}
