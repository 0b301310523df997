// Calls that make, load, put aside and drop objects, and unseal one (TPM 2.0 Part 3 §12, §24, §28).
import { byPassword, nothing, tpmCall, type TpmCall } from './call.ts'
import { HANDLE_RANGE } from './constants.ts'
import { MAX_DIGEST_BYTES, MAX_NAME_BYTES } from './hash.ts'
import { encodePublic2b, nameOf, parsePublic, type TpmPublic } from './public.ts'
import { malformedTpm, sized, TpmReader, TpmWriter } from './wire.ts'

export interface TpmObject {
  /** transient: to be flushed */
  readonly handle: number
  readonly area: TpmPublic
}

/** What TPM2_CertifyCreation needs, and what it is about. */
export interface CreationRecord {
  /** TPMS_CREATION_DATA */
  readonly data: Uint8Array
  readonly hash: Uint8Array
  /** TPMT_TK_CREATION */
  readonly ticket: Uint8Array
}

/** An object outside its TPM: of use to nobody but that TPM, below the same parent. */
export interface TpmBlob {
  /** TPM2B_PUBLIC */
  readonly public: Uint8Array
  /** TPM2B_PRIVATE */
  readonly private: Uint8Array
}

export interface CreatedBlob extends TpmBlob {
  readonly creation: CreationRecord
}

export interface PrimaryInput {
  readonly hierarchy: number
  /** of the hierarchy */
  readonly password: Uint8Array
  readonly area: TpmPublic
}

export interface CreateInput {
  readonly parent: number
  readonly area: TpmPublic
  /** what to seal; without it the TPM makes a key */
  readonly data?: Uint8Array
}

const MAX_PUBLIC_BYTES = 1024
const MAX_PRIVATE_BYTES = 2048
const MAX_CREATION_BYTES = 1024
const MAX_SEALED_BYTES = 256
const MAX_CONTEXT_BYTES = 3072

/** TPM2_CreatePrimary. Throws ZT-422-TPM too if what came back is another kind of object than was asked for. */
export function createPrimary({ hierarchy, password, area }: PrimaryInput): TpmCall<TpmObject> {
  return tpmCall({
    command: 'createPrimary',
    handles: [hierarchy],
    auth: [byPassword(password)],
    parameters: creationParameters(area),
    returnsHandle: true,
    parse: (reader, handle) => {
      const made = readPublic2b(reader)
      readCreation(reader)
      refuseUnlessNamed(made, reader.sized(MAX_NAME_BYTES))
      refuseUnlessTransient(handle)
      return { handle, area: made }
    },
  })
}

/** TPM2_Create, below a parent whose password is empty. */
export function create({ parent, area, data }: CreateInput): TpmCall<CreatedBlob> {
  return tpmCall({
    command: 'create',
    handles: [parent],
    auth: [byPassword()],
    parameters: creationParameters(area, data),
    parse: (reader) => {
      const outPrivate = sized(reader.sized(MAX_PRIVATE_BYTES))
      const made = readPublic2b(reader)
      return { private: outPrivate, public: encodePublic2b(made), creation: readCreation(reader) }
    },
  })
}

/** TPM2_Load of `blob`; throws ZT-422-TPM if the TPM names it otherwise than its public area does. */
export function load(parent: number, blob: TpmBlob): TpmCall<TpmObject> {
  return tpmCall({
    command: 'load',
    handles: [parent],
    auth: [byPassword()],
    parameters: new TpmWriter().bytes(blob.private).bytes(blob.public).done(),
    returnsHandle: true,
    parse: (reader, handle) => {
      const area = readPublic2b(new TpmReader(blob.public, 'tpm blob'))
      refuseUnlessNamed(area, reader.sized(MAX_NAME_BYTES))
      refuseUnlessTransient(handle)
      return { handle, area }
    },
  })
}

/** TPM2_Unseal, of data whose password is empty. */
export function unseal(handle: number): TpmCall<Uint8Array> {
  return tpmCall({
    command: 'unseal',
    handles: [handle],
    auth: [byPassword()],
    parse: (reader) => reader.sized(MAX_SEALED_BYTES),
  })
}

/**
 * TPM2_ContextSave: a TPMS_CONTEXT, encrypted by the TPM for itself, from which it loads the object again without its
 * parent. It is worth nothing after the TPM's next reset. The object stays loaded.
 */
export function contextSave(handle: number): TpmCall<Uint8Array> {
  return tpmCall({ command: 'contextSave', handles: [handle], parse: readContext })
}

/** TPM2_ContextLoad of what contextSave() gave: the object's new handle. */
export function contextLoad(context: Uint8Array): TpmCall<{ readonly handle: number }> {
  return tpmCall({
    command: 'contextLoad',
    parameters: context,
    returnsHandle: true,
    parse: (_reader, handle) => {
      refuseUnlessTransient(handle)
      return { handle }
    },
  })
}

/** TPM2_FlushContext, of an object or a session. */
export function flushContext(handle: number): TpmCall<void> {
  // Part 3 §28.4: the handle is a parameter here.
  return tpmCall({ command: 'flushContext', parameters: new TpmWriter().u32(handle).done(), parse: nothing })
}

function creationParameters(area: TpmPublic, data: Uint8Array = new Uint8Array()): Uint8Array {
  // TPMS_SENSITIVE_CREATE: an empty password, and the data to seal.
  const sensitive = new TpmWriter().u16(0).sized(data).done()
  // After the public area: no outsideInfo, and no registers for the creation data.
  return new TpmWriter().sized(sensitive).bytes(encodePublic2b(area)).u16(0).u32(0).done()
}

function readPublic2b(reader: TpmReader): TpmPublic {
  return parsePublic(reader.sized(MAX_PUBLIC_BYTES))
}

function readContext(reader: TpmReader): Uint8Array {
  // TPMS_CONTEXT (Part 2 §14.5): sequence, the handle it was saved from, hierarchy, and the TPM's own blob.
  return new TpmWriter()
    .bytes(reader.bytes(8))
    .u32(reader.u32())
    .u32(reader.u32())
    .sized(reader.sized(MAX_CONTEXT_BYTES))
    .done()
}

function readCreation(reader: TpmReader): CreationRecord {
  const data = reader.sized(MAX_CREATION_BYTES)
  const hash = reader.sized(MAX_DIGEST_BYTES)
  const ticket = new TpmWriter()
    .u16(reader.u16())
    .u32(reader.u32())
    .sized(reader.sized(MAX_DIGEST_BYTES))
    .done()
  return { data, hash, ticket }
}

function refuseUnlessNamed(area: TpmPublic, name: Uint8Array): void {
  if (Buffer.compare(nameOf(area), name) !== 0)
    throw malformedTpm('tpm object', 'has another name than its public area')
}

function refuseUnlessTransient(handle: number): void {
  const kind = handle - (handle % 0x100_0000)
  if (kind !== HANDLE_RANGE.transient)
    throw malformedTpm('tpm object', `has the handle 0x${handle.toString(16)}`)
}
