// A18: event logs that tell another story than the registers.
import type { AttackCase } from '../case.ts'
import { BOOT, bootLog, encodeEvent, header, type BootEvent } from '../measured-boot.ts'
import { genuineRenewal, type Rig } from '../rig.ts'
import { attackCase } from './made.ts'

const EFI = 0x8000_0000
const SEPARATOR = 4
const NO_ACTION = 3
const CRTM_VERSION = 8

export async function eventLogCases(rig: Rig): Promise<AttackCase[]> {
  const pcrPolicy = { ...rig.policy, eventLog: 'required' as const }
  const genuine = await genuineRenewal(rig, rig.x, { policy: pcrPolicy })
  const told = (name: string, what: string, eventLog?: Uint8Array): AttackCase => {
    const evidence = eventLog === undefined ? genuine.evidence : { ...genuine.evidence, eventLog }
    const words = {
      attack: 'A18',
      what,
      made: 'the quote by swtpm, the log by hand',
      expect: 'ZT-401-TPM-EVENTLOG',
    } as const
    return attackCase(`a18-${name}`, words, { ...genuine, evidence, known: { ...genuine.known, pcrPolicy } })
  }
  const log = bootLog()
  const last = encodeEvent({ pcr: 4, type: EFI + 0x3, data: Buffer.from('evil.efi') })
  return [
    told(
      'retyped-as-separator',
      'the boot loader is called a separator',
      bootLog(retyped(isLoader, SEPARATOR)),
    ),
    told(
      'retyped-as-variable',
      'the boot loader is called a variable, whose data were not measured',
      bootLog(retyped(isLoader, EFI + 0x1)),
    ),
    told(
      'retyped-as-no-action',
      'the boot loader is called an event that extends nothing',
      bootLog(retyped(isLoader, NO_ACTION)),
    ),
    told('unknown-type', 'an event is of a type that nobody knows', bootLog(retyped(isLoader, 0x7777_7777))),
    told('appended', 'an event more than was measured', Buffer.concat([log, last])),
    told(
      'truncated',
      'the last event of PCR 5 is left out',
      bootLog(BOOT.filter(({ data }) => Buffer.from(data).toString() !== 'Exit Boot Services Invocation')),
    ),
    told('cut', 'the log ends in the middle of an event', log.subarray(0, -1)),
    told('reordered', 'two events of one register change places', bootLog(swapped())),
    told('other-data', 'a variable that says otherwise than was measured', bootLog(retold())),
    told(
      'no-separator',
      'the log closes no register',
      bootLog(BOOT.filter(({ type }) => type !== SEPARATOR)),
    ),
    told(
      'firmware-after-separator',
      'an event of the firmware after its register was closed',
      bootLog(late()),
    ),
    told(
      'false-locality',
      'the log claims a start at another locality',
      Buffer.concat([header(), locality(), log.subarray(header().length)]),
    ),
    told('header-only', 'the log is empty', header()),
    told(
      'huge-event',
      'an event claims to be of four gigabytes',
      Buffer.concat([log, last.subarray(0, -12), Buffer.alloc(4, 0xff)]),
    ),
    told('missing', 'the policy requires a log, and there is none'),
  ]
}

const isLoader = ({ pcr, type }: BootEvent): boolean => pcr === 4 && type !== SEPARATOR

function retyped(which: (event: BootEvent) => boolean, type: number): readonly BootEvent[] {
  return BOOT.map((event) => (which(event) ? { ...event, type } : event))
}

function swapped(): readonly BootEvent[] {
  const variables = BOOT.filter(({ pcr, type }) => pcr === 7 && type !== SEPARATOR)
  return BOOT.map((event) =>
    variables.includes(event) ? (variables[1 - variables.indexOf(event)] ?? event) : event,
  )
}

function retold(): readonly BootEvent[] {
  return BOOT.map((event) =>
    Buffer.from(event.data).toString() === 'SecureBoot=1'
      ? { ...event, data: Buffer.from('SecureBoot=0'), measured: event.data }
      : event,
  )
}

function late(): readonly BootEvent[] {
  const [first, ...rest] = BOOT.filter(({ type }) => type === CRTM_VERSION)
  if (first === undefined || rest.length > 0) throw new Error('the boot has one version of its firmware')
  return [...BOOT.filter((event) => event !== first), first]
}

function locality(): Uint8Array {
  const event = { pcr: 0, type: NO_ACTION, data: Buffer.from('StartupLocality\0\x03') }
  return encodeEvent(event)
}
