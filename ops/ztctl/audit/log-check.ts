// One log, checked entry by entry as it comes from wherever it is: nothing is believed but the keys and anchors that the
// caller brings along.
import { ZtError, isZtError } from '#shared/errors/error.ts'
import { HASH_BYTES, sameBytes, sha256, type Hash } from '#shared/log/hash.ts'
import { recordOf } from '#shared/log/record.ts'
import { parseRow, type RowBody } from '#shared/log/row.ts'
import { LogVerifier, type BadRow, type LogReport, type LogTrust } from '#shared/log/verify-log.ts'

/** A row that does not follow the one before it: one of the two is not what it was. */
interface Suspect {
  readonly seq: number
  readonly hash: Hash
}

export class LogCheck {
  readonly #verifier: LogVerifier
  readonly #onRow: ((row: RowBody) => void) | undefined
  #next = 0
  #broken = false
  #suspect: Suspect | undefined
  #found: BadRow | undefined

  /** `onRow` sees each row that holds. Errors: ZT-422-NOTE for a malformed key. */
  constructor(trust: LogTrust, onRow?: (row: RowBody) => void) {
    this.#verifier = new LogVerifier(trust)
    this.#onRow = onRow
  }

  /** Entries taken. */
  get size(): number {
    return this.#next
  }

  /** Signed heads that the rows to come have to match. */
  expect(checkpoints: readonly string[]): void {
    this.#verifier.addCheckpoints(checkpoints)
  }

  /** Takes the next entry (hash of the row before, and row body); false once it is known what is bad. */
  push(entry: Uint8Array): boolean {
    const seq = this.#next
    this.#next += 1
    const prev = entry.subarray(0, HASH_BYTES)
    const body = entry.subarray(HASH_BYTES)
    if (this.#suspect !== undefined) return this.#decide(this.#suspect, prev)
    const hash = sha256(entry)
    if (this.#broken) return false
    if (!this.#verifier.push(recordOf({ seq, prev, body, hash }))) return this.#suspectOf({ seq, body, hash })
    return this.#report(body)
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
    const report = this.#verifier.report()
    return this.#found === undefined ? report : { ...report, rows: this.#found.seq, firstBad: this.#found }
  }

  #report(body: Uint8Array): boolean {
    if (this.#onRow === undefined) return true
    try {
      this.#onRow(parseRow(body))
      return true
    } catch (cause) {
      return this.fail(cause)
    }
  }

  // An entry does not carry its own hash: the next one does. So a broken link alone does not say which of its two rows
  // was changed; the row behind both of them does.
  #suspectOf({ seq, body, hash }: { seq: number; body: Uint8Array; hash: Hash }): boolean {
    const { firstBad } = this.#verifier.report()
    if (firstBad?.code !== 'ZT-490-CHAIN' || seq === 0 || claimedSeq(body) !== seq) return false
    this.#suspect = { seq, hash }
    const message = `row ${seq} does not follow row ${seq - 1}: one of the two is not what it was`
    this.#found = { seq: seq - 1, code: 'ZT-490-CHAIN', message }
    return true
  }

  #decide({ seq, hash }: Suspect, next: Uint8Array): false {
    this.#suspect = undefined
    this.#broken = true
    this.#found = sameBytes(hash, next)
      ? {
          seq: seq - 1,
          code: 'ZT-490-ROW',
          message: `row ${seq - 1}: it is not what row ${seq} was written after`,
        }
      : {
          seq,
          code: 'ZT-490-ROW',
          message: `row ${seq}: neither the row before it nor the one behind it fits`,
        }
    return false
  }
}

function claimedSeq(body: Uint8Array): number | undefined {
  try {
    return parseRow(body).seq
  } catch (error) {
    if (isZtError(error)) return undefined
    throw error
  }
}
