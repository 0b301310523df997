// Verifies rows one after the other: stored bytes, canonical form, numbering, chain, claimed times and key epochs.
// It trusts only where it starts. What it has passed is the history that hashes to `head`; who vouches for that head is
// for checkpoints and anchors to say.
import { ZtError, isZtError } from '#shared/errors/error.ts'
import type { ErrorCode } from '#shared/errors/codes.ts'
import { binarySha256, HASH_BYTES, toBinary, type BinaryHash, type Hash } from './hash.ts'
import { BODY_AT, ENTRY_AT, isRecord, LEAF_AT, type RowRecord } from './record.ts'
import { parseVkey } from './note.ts'
import { GENESIS_PREV, parseRow, quoted, RowScan } from './row.ts'
import { timeOrder, type RowTime } from './time-order.ts'

export interface ChainStart {
  readonly origin: string
  /** the next row; 0 unless given */
  readonly seq?: number
  /** hash of the row before it; 32 zero bytes unless given */
  readonly prev?: Hash
}

/** A row that changes which key signs heads: genesis names the first, `key.rotated` the one for the rows behind it. */
export interface KeyRow {
  readonly seq: number
  readonly vkey: string
}

const NO_TEXT = quoted('')
const GENESIS = quoted('log.genesis')
const KEY_ROTATED = quoted('key.rotated')
const CLOCK_STEPPED = quoted('clock.stepped')
const NO_TIME: RowTime = { ts: -1, monoMs: -1, monoNs: -1, boot: '' }

export class ChainVerifier {
  readonly keyRows: KeyRow[] = []
  readonly #origin: string
  readonly #originText: Uint8Array
  readonly #scan = new RowScan()
  #next: number
  #head: BinaryHash
  #time: RowTime = NO_TIME
  #bootText: Uint8Array = NO_TEXT
  #keyId = ''
  #keyText: Uint8Array = NO_TEXT

  constructor(start: ChainStart) {
    this.#origin = start.origin
    this.#originText = quoted(start.origin)
    this.#next = start.seq ?? 0
    this.#head = toBinary(start.prev ?? GENESIS_PREV)
  }

  /** How many rows the log has up to here. */
  get size(): number {
    return this.#next
  }

  /** Hash of the last row. */
  get head(): BinaryHash {
    return this.#head
  }

  /** Id of the key that signs heads behind the last row; '' while no row has named one. */
  get keyId(): string {
    return this.#keyId
  }

  /** The times that the last row claims. */
  get time(): RowTime {
    return this.#time
  }

  /**
   * Takes the next row and returns its RFC 6962 leaf hash.
   * Errors, each with details.seq: ZT-490-ROW when the row is not what it was or not what a row may be,
   * ZT-490-CHAIN when rows are missing, moved or inserted, ZT-490-TIME when its times cannot follow.
   */
  push(record: RowRecord): BinaryHash {
    if (record.seq !== this.#next) this.#fail('ZT-490-CHAIN', `the next row is ${record.seq}`)
    this.#checkHashes(record)
    this.#checkBody(record.bytes)
    this.#checkTime()
    this.#checkType(record.bytes)
    this.#next += 1
    return binarySha256(record.bytes.subarray(LEAF_AT))
  }

  #checkHashes(record: RowRecord): void {
    const { bytes } = record
    if (!isRecord(bytes)) this.#fail('ZT-490-ROW', 'the stored row has no body')
    const hash = binarySha256(bytes.subarray(ENTRY_AT))
    const linked = bytes.toString('latin1', ENTRY_AT, BODY_AT) === this.#head
    const intact = bytes.toString('latin1', 0, HASH_BYTES) === hash
    if (linked && intact) this.#head = hash
    else this.#explain(bytes, intact)
  }

  // The row hashes to what it says but follows another row: it was moved, or the row before it was. Else it was changed;
  // so too when only its link was, which shows by the hash over the right link.
  #explain(bytes: Buffer, intact: boolean): never {
    const relinked = Buffer.concat([Buffer.from(this.#head, 'latin1'), bytes.subarray(BODY_AT)])
    const onlyLink = binarySha256(relinked) === bytes.toString('latin1', 0, HASH_BYTES)
    if (onlyLink) return this.#fail('ZT-490-ROW', 'the stored link to the row before it was changed')
    return intact
      ? this.#fail('ZT-490-CHAIN', 'it does not follow the row before it')
      : this.#fail('ZT-490-ROW', 'its hash does not match its bytes')
  }

  #checkBody(bytes: Buffer): void {
    if (!this.#scan.scan(bytes, BODY_AT)) this.#refuseBody(bytes.subarray(BODY_AT))
    if (this.#scan.seq !== this.#next) this.#fail('ZT-490-CHAIN', `it says that it is row ${this.#scan.seq}`)
    if (!this.#scan.is('log', this.#originText)) this.#fail('ZT-490-ROW', 'it is a row of another log')
  }

  // The slow reader says what is wrong with bytes that the scan did not accept.
  #refuseBody(body: Uint8Array): never {
    try {
      parseRow(body)
    } catch (cause) {
      if (!isZtError(cause)) throw cause
      this.#fail('ZT-490-ROW', cause.message, cause)
    }
    return this.#fail('ZT-490-ROW', 'its form is not canonical')
  }

  #checkTime(): void {
    const { ms, ns } = this.#scan.mono
    const time: RowTime = { ts: this.#scan.ts, monoMs: ms, monoNs: ns, boot: this.#boot() }
    const order = timeOrder(this.#time, time)
    if (order === 'mono-went-back') this.#fail('ZT-490-TIME', 'the monotonic clock went back within one boot')
    if (order === 'stepped' && !this.#scan.is('type', CLOCK_STEPPED)) {
      this.#fail('ZT-490-TIME', 'the clock was stepped and no row says so')
    }
    this.#time = time
  }

  // Rows of one boot follow each other: the text is made once.
  #boot(): string {
    if (this.#scan.is('boot', this.#bootText)) return this.#time.boot
    const boot = this.#scan.text('boot')
    this.#bootText = quoted(boot)
    return boot
  }

  #checkType(bytes: Buffer): void {
    const genesis = this.#scan.is('type', GENESIS)
    if (genesis !== (this.#next === 0))
      this.#fail('ZT-490-CHAIN', 'a log starts with its genesis, and has one')
    if (!this.#scan.is('key', this.#keyText)) this.#checkKey(this.#scan.text('key'))
    if (genesis || this.#scan.is('type', KEY_ROTATED)) this.#checkKeyRow(bytes)
  }

  #checkKey(key: string): void {
    if (this.#keyId === '') this.#inForce(key)
    else if (key !== '') this.#fail('ZT-490-ROW', 'it names a key that is not in force')
  }

  #inForce(keyId: string): void {
    this.#keyId = keyId
    this.#keyText = quoted(keyId)
  }

  #checkKeyRow(bytes: Buffer): void {
    const vkey = parseRow(bytes.subarray(BODY_AT)).obj?.['vkey']
    if (vkey === undefined && this.#next === 0) return
    const keyId = typeof vkey === 'string' ? this.#keyIdOf(vkey) : undefined
    if (typeof vkey !== 'string' || keyId === undefined)
      this.#fail('ZT-490-ROW', 'it names no key of this log')
    if (this.#next === 0 && this.#keyId !== '' && this.#keyId !== keyId) {
      this.#fail('ZT-490-ROW', 'it names two keys')
    }
    this.#inForce(keyId)
    this.keyRows.push({ seq: this.#next, vkey })
  }

  #keyIdOf(vkey: string): string | undefined {
    try {
      const { name, keyId } = parseVkey(vkey)
      return name === this.#origin ? keyId : undefined
    } catch (cause) {
      if (!isZtError(cause)) throw cause
      return this.#fail('ZT-490-ROW', cause.message, cause)
    }
  }

  #fail(code: ErrorCode, what: string, cause?: unknown): never {
    throw new ZtError(code, `row ${this.#next}: ${what}`, { cause, details: { seq: this.#next } })
  }
}
