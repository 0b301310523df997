// Reads the crypto-agile event log of the TCG PC Client Platform Firmware Profile (§10): little-endian, a first event in the
// old form that names the algorithms, then TCG_PCR_EVENT2 to the end of the bytes. Reads, and believes nothing.
import { digestBytes, hashOfId, type TpmHash } from '#shared/tpm/hash.ts'
import { refuse } from './refusal.ts'

export interface LoggedEvent {
  /** place in the log, from 0 for the first after the header */
  readonly index: number
  readonly pcr: number
  readonly type: number
  readonly digests: ReadonlyMap<TpmHash, Uint8Array>
  readonly data: Uint8Array
}

export interface EventLog {
  /** in the order of the log, those that are not known to us left out */
  readonly algorithms: readonly TpmHash[]
  readonly events: readonly LoggedEvent[]
}

interface Algorithm {
  readonly id: number
  readonly bytes: number
}

const SIGNATURE = Buffer.from('Spec ID Event03\0')
const NO_ACTION = 0x3
const SHA1_BYTES = 20
const MAX_ALGORITHMS = 8
const MAX_DIGEST = 64
const MAX_EVENTS = 4096
const MAX_PCR = 23

/** The whole of `bytes` as a log. Throws ZT-401-TPM-EVENTLOG (`malformed`). */
export function parseEventLog(bytes: Uint8Array): EventLog {
  const reader = new LogReader(bytes)
  const algorithms = readHeader(reader)
  const events: LoggedEvent[] = []
  while (!reader.done) {
    if (events.length >= MAX_EVENTS) throw malformed(`has more than ${MAX_EVENTS} events`)
    events.push(readEvent(reader, algorithms, events.length))
  }
  const known = algorithms.map(({ id }) => hashOfId(id)).filter((hash) => hash !== undefined)
  return { algorithms: known, events }
}

/** TCG_PCClientPCREvent with a TCG_EfiSpecIDEvent in it (§10.2.1, §10.4.5.1). */
function readHeader(reader: LogReader): readonly Algorithm[] {
  const pcr = reader.u32()
  const type = reader.u32()
  const digest = reader.bytes(SHA1_BYTES)
  const event = new LogReader(reader.bytes(reader.u32()))
  if (pcr !== 0 || type !== NO_ACTION || digest.some((byte) => byte !== 0))
    throw malformed('does not begin with its header')
  if (!SIGNATURE.equals(event.bytes(SIGNATURE.length))) throw malformed('is not of the crypto-agile form')
  // platformClass, and the version of the profile: 2.x, whatever its minor number and errata are.
  event.u32()
  event.u8()
  if (event.u8() !== 2) throw malformed('is of another version')
  event.u8()
  event.u8()
  const count = event.u32()
  if (count === 0 || count > MAX_ALGORITHMS) throw malformed(`has ${count} algorithms`)
  const algorithms: Algorithm[] = []
  for (let at = 0; at < count; at += 1) algorithms.push(readAlgorithm(event, algorithms))
  event.bytes(event.u8())
  event.end()
  return algorithms
}

function readAlgorithm(event: LogReader, others: readonly Algorithm[]): Algorithm {
  const id = event.u16()
  const bytes = event.u16()
  const hash = hashOfId(id)
  const right = hash === undefined ? bytes > 0 && bytes <= MAX_DIGEST : bytes === digestBytes(hash)
  if (!right || others.some((other) => other.id === id)) throw malformed('has an algorithm that cannot be')
  return { id, bytes }
}

/** TCG_PCR_EVENT2 (§10.2.2): one digest of each algorithm of the header. */
function readEvent(reader: LogReader, algorithms: readonly Algorithm[], index: number): LoggedEvent {
  const pcr = reader.u32()
  if (pcr > MAX_PCR) throw malformed(`has an event in PCR ${pcr}`)
  const type = reader.u32()
  if (reader.u32() !== algorithms.length) throw malformed('has an event without all digests')
  const digests = new Map<TpmHash, Uint8Array>()
  const seen = new Set<number>()
  for (let at = 0; at < algorithms.length; at += 1) {
    const id = reader.u16()
    const algorithm = algorithms.find((one) => one.id === id)
    if (algorithm === undefined || seen.has(id))
      throw malformed('has an event with a digest that is not of its header')
    seen.add(id)
    const digest = reader.bytes(algorithm.bytes)
    const hash = hashOfId(id)
    if (hash !== undefined) digests.set(hash, digest)
  }
  return { index, pcr, type, digests, data: reader.bytes(reader.u32()) }
}

class LogReader {
  readonly #view: DataView
  readonly #bytes: Uint8Array
  #offset = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get done(): boolean {
    return this.#offset === this.#bytes.length
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1))
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true)
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true)
  }

  bytes(length: number): Uint8Array {
    const from = this.#take(length)
    return this.#bytes.subarray(from, from + length)
  }

  end(): void {
    if (!this.done) throw malformed('has trailing bytes in its header')
  }

  #take(length: number): number {
    const from = this.#offset
    if (length > this.#bytes.length - from) throw malformed('is cut short')
    this.#offset += length
    return from
  }
}

function malformed(what: string): Error {
  return refuse('ZT-401-TPM-EVENTLOG', 'malformed', `the event log ${what}`)
}
