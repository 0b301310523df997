// T8: that the firmware's log of what it started is the one behind a quote. Replayed, it must come to exactly the quoted
// values. Nothing is ever decided on a word of the log, only on digests, and on data whose hash is their digest: types
// and descriptions are not part of what was extended, so whoever hands in the log can rewrite them.
import { digest } from '#shared/tpm/hash.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { PcrBank, PcrValues } from '#shared/protocol/pcr-policy.ts'
import { MAX_EVENT_LOG_BYTES } from '#shared/protocol/tpm-evidence.ts'
import { parseEventLog, type LoggedEvent } from './event-log-format.ts'
import { EVENT, KNOWN_EVENTS, PRE_BOOT_EVENTS, SELF_DIGESTED_EVENTS } from './event-types.ts'
import { refuse, requireSize } from './refusal.ts'

export interface QuotedPcrs {
  readonly bank: PcrBank
  /** proved by a quote */
  readonly pcrs: PcrValues
}

const FIRST_OS_PCR = 8
const NORMAL_SEPARATORS: readonly string[] = ['00000000', 'ffffffff']
const LOCALITY_SIGNATURE = Buffer.from('StartupLocality\0')

/**
 * T8. Throws ZT-401-TPM-EVENTLOG with details.reason: `malformed`,
 * `bank`, `unknown-type`, `digest`, `separator`, `order`, `locality`, `replay`; and ZT-413-SIZE.
 */
export function replayEventLog(log: Uint8Array, { bank, pcrs }: QuotedPcrs): void {
  requireSize(log, MAX_EVENT_LOG_BYTES, 'the event log')
  const { algorithms, events } = parseEventLog(log)
  if (!algorithms.includes(bank)) throw refuseLog('bank', 'the event log has no digests of the quoted bank')
  const replay = new Replay(bank, new Set(Object.keys(pcrs).map(Number)))
  for (const event of events) replay.take(event)
  replay.requireValues(pcrs)
}

/** One pass over one log; only the quoted registers are looked at. */
class Replay {
  readonly #bank: PcrBank
  readonly #values = new Map<number, Uint8Array>()
  readonly #separated = new Set<number>()
  readonly #extended = new Set<number>()

  constructor(bank: PcrBank, quoted: ReadonlySet<number>) {
    this.#bank = bank
    for (const pcr of quoted) this.#values.set(pcr, digest(bank).fill(0))
  }

  take(event: LoggedEvent): void {
    const value = this.#values.get(event.pcr)
    if (value === undefined) return
    if (!KNOWN_EVENTS.has(event.type))
      throw refuseLog('unknown-type', 'the event log has an unknown type', event)
    if (event.type === EVENT.noAction) {
      this.#startLocality(event, value)
      return
    }
    const extended = event.digests.get(this.#bank)
    if (extended === undefined) throw refuseLog('bank', 'an event has no digest of the quoted bank', event)
    if (SELF_DIGESTED_EVENTS.has(event.type) && !this.#isMeasured(event, extended))
      throw refuseLog('digest', 'an event has other data than were measured', event)
    this.#requirePlace(event)
    // Part 1 §11.4.7: the new value is the hash of the old one and what is extended.
    this.#values.set(event.pcr, digest(this.#bank, value, extended))
    this.#extended.add(event.pcr)
  }

  requireValues(quoted: PcrValues): void {
    for (const [pcr, value] of this.#values) {
      if (Buffer.from(value).toString('hex') !== quoted[String(pcr)])
        throw refuseLog('replay', `the event log does not lead to the quoted value of PCR ${pcr}`)
      // TCG PC Client Platform Firmware Profile §3.3.4: the firmware closes each of its registers before it lets go.
      if (pcr < FIRST_OS_PCR && !this.#separated.has(pcr))
        throw refuseLog('separator', `the event log never closes PCR ${pcr}`)
    }
  }

  /** Whether what was extended is the hash of the event's data. */
  #isMeasured({ type, data }: LoggedEvent, extended: Uint8Array): boolean {
    const hashes = (bytes: Uint8Array): boolean => Buffer.compare(digest(this.#bank, bytes), extended) === 0
    if (hashes(data)) return true
    // Older releases of shim log one byte more than they measured (https://github.com/rhboot/shim/issues/184).
    return type === EVENT.efiVariableAuthority && data.length > 0 && hashes(data.subarray(0, -1))
  }

  #requirePlace(event: LoggedEvent): void {
    const { pcr, type, data } = event
    if (pcr >= FIRST_OS_PCR) return
    const separated = this.#separated.has(pcr)
    if (separated && PRE_BOOT_EVENTS.has(type))
      throw refuseLog(
        'order',
        'the event log has an event of the firmware after the register was closed',
        event,
      )
    if (type !== EVENT.separator) return
    if (separated) throw refuseLog('separator', 'the event log closes a register twice', event)
    // §3.3.4.1: any other value says that the firmware failed on the way.
    if (!NORMAL_SEPARATORS.includes(Buffer.from(data).toString('hex')))
      throw refuseLog('separator', 'the event log has a separator that says of an error', event)
    this.#separated.add(pcr)
  }

  // §10.4.5.3: TPM2_Startup at another locality than 0 leaves it in PCR 0 (Part 1 §12.2.3). Nothing extends that, so it is
  // believed only in so far as the values come out.
  #startLocality({ pcr, data }: LoggedEvent, value: Uint8Array): void {
    const locality = data[LOCALITY_SIGNATURE.length]
    const isLocality = LOCALITY_SIGNATURE.equals(data.subarray(0, LOCALITY_SIGNATURE.length))
    if (!isLocality || pcr !== 0) return
    const fresh = value.every((byte) => byte === 0) && !this.#extended.has(0)
    if (!fresh || data.length !== LOCALITY_SIGNATURE.length + 1 || ![0, 3, 4].includes(locality ?? -1))
      throw refuseLog('locality', 'the event log tells of a start at an impossible locality')
    const initial = new Uint8Array(value.length)
    initial[initial.length - 1] = locality ?? 0
    this.#values.set(0, initial)
  }
}

function refuseLog(reason: string, message: string, event?: LoggedEvent): Error {
  if (event === undefined) return refuse('ZT-401-TPM-EVENTLOG', reason, message)
  const { index, pcr } = event
  return new ZtError('ZT-401-TPM-EVENTLOG', message, { details: { reason, event: index, pcr } })
}
