// What a TPM attests (TPM 2.0 Part 2 §10.12): read, not judged. The magic and the type come back as they are, so that the one
// who verifies can refuse each by its own name; a structure is only ever believed after its signature.
import { TAG } from './constants.ts'
import { MAX_DIGEST_BYTES, MAX_NAME_BYTES, readHash, type TpmHash } from './hash.ts'
import { readPcrSelections, type PcrSelection } from './pcr.ts'
import { malformedTpm, TpmReader } from './wire.ts'

export interface ClockInfo {
  /** milliseconds that the TPM was powered, since it was last cleared */
  readonly clock: number
  /** TPM resets since it was last cleared */
  readonly resetCount: number
  /** restarts and resumes since the last reset */
  readonly restartCount: number
  /** false if this or a greater clock may have been reported before an unclean stop */
  readonly safe: boolean
}

export interface QuoteInfo {
  readonly kind: 'quote'
  readonly pcrSelect: readonly PcrSelection[]
  readonly pcrDigest: Uint8Array
}

export interface CertifyInfo {
  readonly kind: 'certify'
  readonly name: Uint8Array
  readonly qualifiedName: Uint8Array
}

export interface CreationInfo {
  readonly kind: 'creation'
  readonly objectName: Uint8Array
  readonly creationHash: Uint8Array
}

/** The body of a type that ztmesh has no use for. */
export interface OtherInfo {
  readonly kind: 'other'
  readonly bytes: Uint8Array
}

export interface TpmAttest {
  /** TPM_GENERATED_VALUE, if it is from inside a TPM: to be judged */
  readonly magic: number
  /** TPM_ST: to be judged */
  readonly type: number
  readonly qualifiedSigner: Uint8Array
  readonly extraData: Uint8Array
  readonly clockInfo: ClockInfo
  readonly firmwareVersion: bigint
  readonly attested: QuoteInfo | CertifyInfo | CreationInfo | OtherInfo
}

/** TPMS_CREATION_DATA: how an object came to be; believed only if its hash is one that a TPM certified. */
export interface CreationData {
  readonly pcrSelect: readonly PcrSelection[]
  readonly pcrDigest: Uint8Array
  readonly locality: number
  /** undefined for a primary object, whose parent is a hierarchy */
  readonly parentNameAlg: TpmHash | undefined
  readonly parentName: Uint8Array
  readonly parentQualifiedName: Uint8Array
  readonly outsideInfo: Uint8Array
}

const FIELD = 'tpm attestation'
// Part 2 §10.4.3: TPM2B_DATA is limited to a TPMT_HA, which is a hash's identifier and its digest.
const MAX_DATA_BYTES = 2 + MAX_DIGEST_BYTES
const ALGORITHM_NULL = 0x0010

/** The whole of `bytes` as a TPMS_ATTEST; throws ZT-422-TPM. Says nothing about who made it. */
export function parseAttest(bytes: Uint8Array): TpmAttest {
  const reader = new TpmReader(bytes, FIELD)
  const magic = reader.u32()
  const type = reader.u16()
  const attest: TpmAttest = {
    magic,
    type,
    qualifiedSigner: reader.sized(MAX_NAME_BYTES),
    extraData: reader.sized(MAX_DATA_BYTES),
    clockInfo: readClockInfo(reader),
    firmwareVersion: reader.u64(),
    attested: readBody(reader, type),
  }
  reader.end()
  return Object.freeze(attest)
}

/** The whole of `bytes` as a TPMS_CREATION_DATA; throws ZT-422-TPM. */
export function parseCreationData(bytes: Uint8Array): CreationData {
  const reader = new TpmReader(bytes, 'tpm creation data')
  const data: CreationData = {
    pcrSelect: readPcrSelections(reader),
    pcrDigest: reader.sized(MAX_DIGEST_BYTES),
    locality: reader.u8(),
    parentNameAlg: readParentNameAlg(reader),
    parentName: reader.sized(MAX_NAME_BYTES),
    parentQualifiedName: reader.sized(MAX_NAME_BYTES),
    outsideInfo: reader.sized(MAX_DATA_BYTES),
  }
  reader.end()
  return Object.freeze(data)
}

function readParentNameAlg(reader: TpmReader): TpmHash | undefined {
  const [high = 0, low = 0] = reader.bytes(2)
  if (high * 256 + low === ALGORITHM_NULL) return undefined
  return readHash(new TpmReader(Uint8Array.of(high, low), 'tpm creation data'), 'tpm creation data')
}

function readClockInfo(reader: TpmReader): ClockInfo {
  const clock = reader.safeU64()
  const resetCount = reader.u32()
  const restartCount = reader.u32()
  const safe = reader.u8()
  // Part 2 §9.2: TPMI_YES_NO is 0 or 1.
  if (safe > 1) throw malformedTpm(FIELD, `has a clock that is ${safe} for safe`)
  return { clock, resetCount, restartCount, safe: safe === 1 }
}

function readBody(reader: TpmReader, type: number): TpmAttest['attested'] {
  switch (type) {
    case TAG.attestQuote:
      return {
        kind: 'quote',
        pcrSelect: readPcrSelections(reader),
        pcrDigest: reader.sized(MAX_DIGEST_BYTES),
      }
    case TAG.attestCertify:
      return {
        kind: 'certify',
        name: reader.sized(MAX_NAME_BYTES),
        qualifiedName: reader.sized(MAX_NAME_BYTES),
      }
    case TAG.attestCreation:
      return {
        kind: 'creation',
        objectName: reader.sized(MAX_NAME_BYTES),
        creationHash: reader.sized(MAX_DIGEST_BYTES),
      }
    default:
      return { kind: 'other', bytes: reader.rest() }
  }
}
