// An event log is the story behind a quote or it is nothing: replay, order, separators, and no word believed that was not measured.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { replayEventLog } from '#hub/attestation/event-log.ts'
import { isZtError } from '#shared/errors/error.ts'
import type { PcrValues } from '#shared/protocol/pcr-policy.ts'
import { digest } from '#shared/tpm/hash.ts'
import {
  BOOT,
  bootLog,
  encodeEvent,
  header,
  type BootEvent,
} from '#test/support/attestation/measured-boot.ts'

const EFI = 0x8000_0000
const NO_ACTION = 3
const SEPARATOR = 4
const AUTHORITY = EFI + 0xe0

const data = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text))

/** What the registers hold after these events, beginning with `initial` in PCR 0. */
function valuesAfter(
  events: readonly BootEvent[],
  indices: readonly number[],
  initial: number = 0,
): PcrValues {
  return Object.fromEntries(
    indices.map((index) => {
      let value = new Uint8Array(32)
      if (index === 0) value[31] = initial
      for (const { pcr, type, data: own, measured } of events)
        if (pcr === index && type !== NO_ACTION)
          value = new Uint8Array(digest('sha256', value, digest('sha256', measured ?? own)))
      return [String(index), Buffer.from(value).toString('hex')]
    }),
  )
}

const ALL = [0, 1, 2, 3, 4, 5, 6, 7]

function replay(events: readonly BootEvent[], indices: readonly number[] = ALL): void {
  replayEventLog(bootLog(events), { bank: 'sha256', pcrs: valuesAfter(events, indices) })
}

const refusal =
  (reason: string) =>
  (error: unknown): boolean => {
    assert.ok(isZtError(error, 'ZT-401-TPM-EVENTLOG'))
    assert.equal(error.details['reason'], reason)
    return true
  }

describe('an event log', () => {
  it('is accepted if it leads to the quoted values', () => {
    replay(BOOT)
  })

  it('is refused with the event and its register, where one is wrong', () => {
    const at = BOOT.length
    assert.throws(() => replay([...BOOT, { pcr: 4, type: 2, data: data('x') }]), {
      code: 'ZT-401-TPM-EVENTLOG',
      details: { reason: 'unknown-type', event: at, pcr: 4 },
    })
  })

  it('may say of other registers what it likes', () => {
    const strange = { pcr: 16, type: 0x7777_7777, data: data('anything') }
    replay([...BOOT, strange])
  })

  it('may begin at locality 3 or 4, which the value of PCR 0 proves', () => {
    for (const locality of [3, 4]) {
      const start = {
        pcr: 0,
        type: NO_ACTION,
        data: data(`StartupLocality\0${String.fromCharCode(locality)}`),
      }
      const events = [start, ...BOOT]
      replayEventLog(bootLog(events), { bank: 'sha256', pcrs: valuesAfter(events, ALL, locality) })
      assert.throws(
        () => replayEventLog(bootLog(events), { bank: 'sha256', pcrs: valuesAfter(BOOT, ALL) }),
        refusal('replay'),
      )
    }
  })

  it('is accepted from an old shim, which logs a byte more than it measures', () => {
    const old = {
      pcr: 7,
      type: AUTHORITY,
      data: data('Shim certificate\0'),
      measured: data('Shim certificate'),
    }
    replay([...BOOT, old])
    const longer = { ...old, data: data('Shim certificate\0\0') }
    assert.throws(() => replay([...BOOT, longer]), refusal('digest'))
  })

  const without = (which: (event: BootEvent) => boolean): readonly BootEvent[] =>
    BOOT.filter((event) => !which(event))
  const told: Record<string, readonly [string, readonly BootEvent[]]> = {
    'with an unknown type': ['unknown-type', [...BOOT, { pcr: 4, type: 0x7777_7777, data: data('x') }]],
    'with the unused type': ['unknown-type', [...BOOT, { pcr: 4, type: 2, data: data('x') }]],
    'with a variable that was not measured so': [
      'digest',
      [...BOOT, { pcr: 7, type: AUTHORITY, data: data('one'), measured: data('another') }],
    ],
    'that leaves a register open': ['separator', without(({ pcr, type }) => pcr === 6 && type === SEPARATOR)],
    'that closes a register twice': [
      'separator',
      [...BOOT, { pcr: 6, type: SEPARATOR, data: new Uint8Array(4) }],
    ],
    'with the separator of an error': [
      'separator',
      [...without(({ pcr }) => pcr === 6), { pcr: 6, type: SEPARATOR, data: Uint8Array.of(1, 0, 0, 0) }],
    ],
    'with the firmware after the separator': ['order', [...BOOT, { pcr: 0, type: 8, data: data('2.0') }]],
    'that starts at a locality too late': [
      'locality',
      [...BOOT, { pcr: 0, type: NO_ACTION, data: data('StartupLocality\0\x03') }],
    ],
    'that starts at locality 1': [
      'locality',
      [{ pcr: 0, type: NO_ACTION, data: data('StartupLocality\0\x01') }, ...BOOT],
    ],
  }
  for (const [what, [reason, events]] of Object.entries(told))
    it(`is refused: one ${what}`, () => {
      assert.throws(() => replay(events), refusal(reason))
    })

  const pcrs = valuesAfter(BOOT, ALL)
  const log = bootLog()
  const bent = (at: number, value: number): Uint8Array => {
    const copy = Buffer.from(log)
    copy[at] = value
    return copy
  }
  const malformed: Record<string, Uint8Array> = {
    nothing: new Uint8Array(),
    'its header cut short': header().subarray(0, 40),
    'a header of another form': bent(32, 0x58),
    'a header in another register': bent(0, 1),
    'a header of another type': bent(4, 4),
    'a header with a digest': bent(8, 1),
    'another version of the profile': bent(53, 1),
    'no algorithms': bent(56, 0),
    'a thousand algorithms': bent(57, 4),
    'an algorithm of a wrong length': bent(62, 33),
    'an event in PCR 24': Buffer.concat([
      log,
      encodeEvent({ pcr: 24, type: SEPARATOR, data: new Uint8Array(4) }),
    ]),
    'an event with one digest of two': Buffer.concat([
      log,
      encodeEvent({ pcr: 9, type: 0xd, data: data('x') }, ['sha256']),
    ]),
    'an event with the same digest twice': Buffer.concat([
      log,
      encodeEvent({ pcr: 9, type: 0xd, data: data('x') }, ['sha256', 'sha256']),
    ]),
    'an event with a digest that its header does not name': Buffer.concat([
      log,
      encodeEvent({ pcr: 9, type: 0xd, data: data('x') }, ['sha1', 'sha384']),
    ]),
    'a byte after it': Buffer.concat([log, Buffer.of(0)]),
  }
  for (const [what, bytes] of Object.entries(malformed))
    it(`is refused with ${what}`, () => {
      assert.throws(() => replayEventLog(bytes, { bank: 'sha256', pcrs }), refusal('malformed'))
    })

  it('is refused without digests of the quoted bank', () => {
    assert.throws(() => replayEventLog(log, { bank: 'sha384', pcrs }), refusal('bank'))
  })

  it('is refused over its size, and over its number of events', () => {
    const judged = (bytes: Uint8Array): unknown => replayEventLog(bytes, { bank: 'sha256', pcrs: {} })
    assert.throws(() => judged(new Uint8Array(256 * 1024 + 1)), { code: 'ZT-413-SIZE' })
    const tiny = encodeEvent({ pcr: 23, type: NO_ACTION, data: new Uint8Array() }, ['sha256'])
    const many = (count: number): Uint8Array =>
      Buffer.concat([header(['sha256']), ...Array.from({ length: count }, () => tiny)])
    judged(many(4096))
    assert.throws(() => judged(many(4097)), refusal('malformed'))
  })
})
