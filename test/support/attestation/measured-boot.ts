// A boot as firmware measures it, in miniature: the events are extended into a TPM, and written in the crypto-agile log form.
import type { TpmDevice } from '#shared/host/tpm/device.ts'
import { digest, hashId, type TpmHash } from '#shared/tpm/hash.ts'
import { extendRegister } from '../tpm-registers.ts'

export interface BootEvent {
  readonly pcr: number
  readonly type: number
  readonly data: Uint8Array
  /** what was measured, where that is not the data themselves */
  readonly measured?: Uint8Array
}

const EFI = 0x8000_0000
const NO_ACTION = 3
const SEPARATOR = 4
const CRTM_VERSION = 8

const text = (value: string): Uint8Array => Uint8Array.from(Buffer.from(value))
const separator = (pcr: number): BootEvent => ({ pcr, type: SEPARATOR, data: new Uint8Array(4) })

/** What the machines of the corpus have started. */
export const BOOT: readonly BootEvent[] = [
  { pcr: 0, type: CRTM_VERSION, data: text('1.0') },
  { pcr: 0, type: EFI + 0x8, data: text('volume at 0x1000'), measured: text('the firmware itself') },
  { pcr: 7, type: EFI + 0x1, data: text('SecureBoot=1') },
  { pcr: 7, type: EFI + 0x1, data: text('db=vendor') },
  { pcr: 1, type: EFI + 0x9, data: text('tables at 0x2000'), measured: text('the tables') },
  ...[0, 1, 2, 3, 4, 5, 6, 7].map(separator),
  { pcr: 5, type: EFI + 0x6, data: text('GPT') },
  { pcr: 4, type: EFI + 0x3, data: text('\\EFI\\BOOT\\BOOTX64.EFI'), measured: text('the boot loader') },
  { pcr: 5, type: EFI + 0x7, data: text('Exit Boot Services Invocation') },
  { pcr: 9, type: 0xd, data: text('the kernel') },
]

/** Extends what was started, as firmware would, into the bank of SHA-256. */
export async function measureBoot(device: TpmDevice): Promise<void> {
  for (const event of BOOT) await extendRegister(device, event.pcr, digestOf(event, 'sha256'))
}

/** The log of these events, with digests of SHA-1 and SHA-256. */
export function bootLog(events: readonly BootEvent[] = BOOT): Uint8Array {
  return new Uint8Array(Buffer.concat([header(), ...events.map((event) => encodeEvent(event))]))
}

export function encodeEvent(event: BootEvent, banks: readonly TpmHash[] = ['sha1', 'sha256']): Uint8Array {
  const digests = banks.map((bank) => Buffer.concat([u16(hashId(bank)), digestOf(event, bank)]))
  return Buffer.concat([
    u32(event.pcr),
    u32(event.type),
    u32(banks.length),
    ...digests,
    u32(event.data.length),
    event.data,
  ])
}

/** TCG_PCClientPCREvent with a TCG_EfiSpecIDEvent that names these algorithms. */
export function header(banks: readonly TpmHash[] = ['sha1', 'sha256']): Uint8Array {
  const algorithms = banks.map((bank) => Buffer.concat([u16(hashId(bank)), u16(digest(bank).length)]))
  const spec = Buffer.concat([
    text('Spec ID Event03\0'),
    u32(0),
    Buffer.of(0, 2, 0, 2),
    u32(algorithms.length),
    ...algorithms,
    Buffer.of(0),
  ])
  return Buffer.concat([u32(0), u32(NO_ACTION), Buffer.alloc(20), u32(spec.length), spec])
}

function digestOf({ data, measured }: BootEvent, bank: TpmHash): Uint8Array {
  return digest(bank, measured ?? data)
}

function u16(value: number): Buffer {
  const out = Buffer.alloc(2)
  out.writeUInt16LE(value)
  return out
}

function u32(value: number): Buffer {
  const out = Buffer.alloc(4)
  out.writeUInt32LE(value)
  return out
}
