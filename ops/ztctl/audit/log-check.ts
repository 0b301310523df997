// One log, checked entry by entry as it comes from wherever it is: nothing is believed but the keys and anchors that the
// caller brings along.
import { ZtError, isZtError } from '#shared/errors/error.ts'
import { HASH_BYTES, sha256 } from '#shared/log/hash.ts'
import { recordOf } from '#shared/log/record.ts'
import { parseRow, type RowBody } from '#shared/log/row.ts'
import { LogVerifier, type LogReport, type LogTrust } from '#shared/log/verify-log.ts'

export class LogCheck {
  readonly #verifier: LogVerifier
  readonly #onRow: ((row: RowBody) => void) | undefined
  #next = 0
  #broken = false

  /** `onRow` sees each row that holds. Errors: ZT-422-NOTE for a malformed key. */
  constructor(trust: LogTrust, onRow?: (row: RowBody) => void) {
    this.#verifier = new LogVerifier(trust)
    this.#onRow = onRow
  }

  /** Rows taken. */
  get size(): number {
    return this.#next
  }

  /** Signed heads that the rows to come have to match. */
  expect(checkpoints: readonly string[]): void {
    this.#verifier.addCheckpoints(checkpoints)
  }

  /** Takes the next entry (hash of the row before, and row body); false once something is bad. */
  push(entry: Uint8Array): boolean {
    const seq = this.#next
    this.#next += 1
    const body = entry.subarray(HASH_BYTES)
    const row = { seq, prev: entry.subarray(0, HASH_BYTES), body, hash: sha256(entry) }
    if (this.#broken || !this.#verifier.push(recordOf(row))) return false
    if (this.#onRow === undefined) return true
    try {
      this.#onRow(parseRow(body))
      return true
    } catch (cause) {
      return this.fail(cause)
    }
  }

  /** The log could not be read further: a failed check. Throws what is no finding but a fault of ours. */
  fail(cause: unknown): false {
    if (!isZtError(cause)) throw cause
    this.#broken = true
    const isFinding = cause.code.startsWith('ZT-490-')
    const message = `the log cannot be read further: ${cause.message}`
    this.#verifier.unreadable(isFinding ? cause : new ZtError('ZT-490-UNVERIFIABLE', message, { cause }))
    return false
  }

  report(): LogReport {
    return this.#verifier.report()
  }
}
