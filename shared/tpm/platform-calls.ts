// Calls about the TPM itself: capabilities, non-volatile memory, configuration registers (TPM 2.0 Part 3 §9.3, §22, §30, §31).
import { byPassword, nothing, tpmCall, type TpmCall } from './call.ts'
import { CAPABILITY, HANDLE, STARTUP_CLEAR } from './constants.ts'
import { digestBytes, MAX_DIGEST_BYTES, MAX_NAME_BYTES, readHash } from './hash.ts'
import { encodePcrSelections, readPcrSelections, type PcrSelection } from './pcr.ts'
import { malformedTpm, TpmReader, TpmWriter } from './wire.ts'

export interface NvArea {
  readonly index: number
  readonly bytes: number
  /** TPMA_NV */
  readonly attributes: number
}

export interface PcrValues {
  /** counts the changes of all registers that count */
  readonly updateCounter: number
  /** what was read of that which was asked for: a response holds eight values */
  readonly selection: PcrSelection
  /** in ascending order of their indices */
  readonly values: readonly Uint8Array[]
}

export interface Page<T> {
  readonly items: readonly T[]
  readonly more: boolean
}

export interface TpmProperty {
  readonly property: number
  readonly value: number
}

export interface NvReadInput {
  readonly area: NvArea
  readonly offset: number
  readonly length: number
  /** of the owner, for an area that cannot be read with its own empty password */
  readonly ownerPassword: Uint8Array
}

const MAX_ITEMS = 256
const NV_OWNER_READ = 1 << 17
const NV_AUTH_READ = 1 << 18
const NV_WRITTEN = 1 << 29
const NV_PUBLIC_BYTES = 128

/** TPM2_Startup after a reset. A kernel or firmware has sent it before anybody else can; a bare swtpm waits for it. */
export function startup(): TpmCall<void> {
  return tpmCall({
    command: 'startup',
    parameters: new TpmWriter().u16(STARTUP_CLEAR).done(),
    parse: nothing,
  })
}

/** TPM2_GetCapability of handles: those in use, from `first` on and of its kind. */
export function getHandles(first: number): TpmCall<Page<number>> {
  return capability(CAPABILITY.handles, first, (reader) => reader.u32())
}

/** TPM2_GetCapability of properties, from `first` on. */
export function getProperties(first: number): TpmCall<Page<TpmProperty>> {
  return capability(CAPABILITY.properties, first, (reader) => ({
    property: reader.u32(),
    value: reader.u32(),
  }))
}

/** TPM2_NV_ReadPublic. */
export function nvReadPublic(index: number): TpmCall<NvArea> {
  return tpmCall({
    command: 'nvReadPublic',
    handles: [index],
    parse: (reader) => {
      const area = new TpmReader(reader.sized(NV_PUBLIC_BYTES), 'tpm nv area')
      const named = area.u32()
      if (named !== index) throw malformedTpm('tpm nv area', `is 0x${named.toString(16)}`)
      readHash(area, 'tpm nv area')
      const attributes = area.u32()
      area.sized(MAX_DIGEST_BYTES)
      const bytes = area.u16()
      area.end()
      reader.sized(MAX_NAME_BYTES)
      return { index, bytes, attributes }
    },
  })
}

/** Whether an area holds anything that its own empty password, or the owner's, can read. */
export function isReadable({ attributes }: NvArea): boolean {
  return (attributes & NV_WRITTEN) !== 0 && (attributes & (NV_AUTH_READ | NV_OWNER_READ)) !== 0
}

/** TPM2_NV_Read of one piece. */
export function nvRead({ area, offset, length, ownerPassword }: NvReadInput): TpmCall<Uint8Array> {
  const own = (area.attributes & NV_AUTH_READ) !== 0
  return tpmCall({
    command: 'nvRead',
    handles: [own ? area.index : HANDLE.owner, area.index],
    auth: [byPassword(own ? undefined : ownerPassword)],
    parameters: new TpmWriter().u16(length).u16(offset).done(),
    parse: (reader) => {
      const piece = reader.sized(length)
      if (piece.length !== length)
        throw malformedTpm('tpm nv area', `gave ${piece.length} of ${length} bytes`)
      return piece
    },
  })
}

/** TPM2_PCR_Read: the first eight of the selection, none if the TPM does not keep that bank. */
export function pcrRead(wanted: PcrSelection): TpmCall<PcrValues> {
  return tpmCall({
    command: 'pcrRead',
    parameters: encodePcrSelections([wanted]),
    parse: (reader) => readPcrValues(reader, wanted),
  })
}

function readPcrValues(reader: TpmReader, wanted: PcrSelection): PcrValues {
  const updateCounter = reader.u32()
  const [selection = { bank: wanted.bank, indices: [] }, ...others] = readPcrSelections(reader)
  const asked = selection.indices.every((index) => wanted.indices.includes(index))
  if (others.length > 0 || selection.bank !== wanted.bank || !asked)
    throw malformedTpm('tpm registers', 'are others than were asked for')
  const count = reader.u32()
  if (count !== selection.indices.length) throw malformedTpm('tpm registers', 'are not as many as they say')
  const values = selection.indices.map(() => reader.sized(MAX_DIGEST_BYTES))
  if (values.some((value) => value.length !== digestBytes(wanted.bank)))
    throw malformedTpm('tpm registers', 'have values of another length than their bank')
  return { updateCounter, selection, values }
}

function capability<T>(kind: number, first: number, read: (reader: TpmReader) => T): TpmCall<Page<T>> {
  return tpmCall({
    command: 'getCapability',
    parameters: new TpmWriter().u32(kind).u32(first).u32(MAX_ITEMS).done(),
    parse: (reader) => {
      const more = reader.u8()
      if (more > 1 || reader.u32() !== kind)
        throw malformedTpm('tpm capability', 'is another than was asked for')
      const count = reader.u32()
      if (count > MAX_ITEMS) throw malformedTpm('tpm capability', `has ${count} items`)
      const items = Array.from({ length: count }, () => read(reader))
      return { items, more: more === 1 }
    },
  })
}
