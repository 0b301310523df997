// Calls by which a TPM says something signed, and proves that two keys are in one TPM (TPM 2.0 Part 3 §12.5, §18, §20.2).
import { byPassword, tpmCall, type TpmAuthorization, type TpmCall } from './call.ts'
import { ALGORITHM, HANDLE } from './constants.ts'
import { encodePcrSelections, type PcrSelection } from './pcr.ts'
import type { CreationRecord } from './object-calls.ts'
import { parseAttest } from './attest.ts'
import { parseTpmSignature } from './signature.ts'
import { MAX_DIGEST_BYTES } from './hash.ts'
import { type TpmReader, TpmWriter } from './wire.ts'

export interface Attestation {
  /** TPMS_ATTEST */
  readonly attest: Uint8Array
  /** TPMT_SIGNATURE */
  readonly signature: Uint8Array
}

export interface QuoteInput {
  readonly ak: number
  /** at most 64 bytes */
  readonly extraData: Uint8Array
  readonly selection: PcrSelection
}

export interface CertifyInput {
  readonly ak: number
  readonly object: number
  readonly extraData: Uint8Array
}

export interface ActivateInput {
  readonly ak: number
  readonly ek: number
  readonly ekAuth: TpmAuthorization
  /** TPM2B_ID_OBJECT */
  readonly blob: Uint8Array
  /** TPM2B_ENCRYPTED_SECRET */
  readonly encryptedSecret: Uint8Array
}

const MAX_ATTEST_BYTES = 2048
const HASH_CHECK = 0x8024

/** TPM2_Quote by an attestation key, in the key's own scheme. */
export function quote({ ak, extraData, selection }: QuoteInput): TpmCall<Attestation> {
  return tpmCall({
    command: 'quote',
    handles: [ak],
    auth: [byPassword()],
    parameters: new TpmWriter()
      .sized(extraData)
      .u16(ALGORITHM.null)
      .bytes(encodePcrSelections([selection]))
      .done(),
    parse: readAttestation,
  })
}

/** TPM2_Certify: that `object` is in the TPM of `ak`. */
export function certify({ ak, object, extraData }: CertifyInput): TpmCall<Attestation> {
  return tpmCall({
    command: 'certify',
    handles: [object, ak],
    auth: [byPassword(), byPassword()],
    parameters: new TpmWriter().sized(extraData).u16(ALGORITHM.null).done(),
    parse: readAttestation,
  })
}

/** TPM2_CertifyCreation: that the TPM of `ak` made `object`, and how. */
export function certifyCreation(
  { ak, object, extraData }: CertifyInput,
  creation: CreationRecord,
): TpmCall<Attestation> {
  return tpmCall({
    command: 'certifyCreation',
    handles: [ak, object],
    auth: [byPassword()],
    parameters: new TpmWriter()
      .sized(extraData)
      .sized(creation.hash)
      .u16(ALGORITHM.null)
      .bytes(creation.ticket)
      .done(),
    parse: readAttestation,
  })
}

/** TPM2_ActivateCredential: the secret, which then crosses the bus as it is. */
export function activateCredential(input: ActivateInput): TpmCall<Uint8Array> {
  return tpmCall({
    command: 'activateCredential',
    handles: [input.ak, input.ek],
    auth: [byPassword(), input.ekAuth],
    parameters: new TpmWriter().bytes(input.blob).bytes(input.encryptedSecret).done(),
    parse: (reader) => reader.sized(MAX_DIGEST_BYTES),
  })
}

/** TPM2_Sign of a digest by a key that is not restricted, in the key's own scheme; a TPMT_SIGNATURE. */
export function sign(key: number, digest: Uint8Array): TpmCall<Uint8Array> {
  return tpmCall({
    command: 'sign',
    handles: [key],
    auth: [byPassword()],
    // The ticket of TPM2_Hash is for restricted keys alone: an empty one says that there is none.
    parameters: new TpmWriter()
      .sized(digest)
      .u16(ALGORITHM.null)
      .u16(HASH_CHECK)
      .u32(HANDLE.null)
      .u16(0)
      .done(),
    parse: readSignature,
  })
}

function readAttestation(reader: TpmReader): Attestation {
  const attest = reader.sized(MAX_ATTEST_BYTES)
  parseAttest(attest)
  return { attest, signature: readSignature(reader) }
}

function readSignature(reader: TpmReader): Uint8Array {
  const signature = reader.rest()
  parseTpmSignature(signature)
  return signature
}
