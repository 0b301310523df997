// What a machine with a TPM says of itself when it joins and at every renewal (identity.md §4). All of it is bytes as the
// TPM made them, base64url; what they mean, and whether they hold, is for hub/attestation to say.
import { createHmac } from 'node:crypto'
import {
  array,
  base64urlText,
  boolean,
  literal,
  object,
  optional,
  type Parser,
} from '#shared/encoding/shape.ts'
import { bytes32Field } from './fields.ts'
import { pcrBankField, pcrIndicesField, pcrValuesField, type PcrBank, type PcrValues } from './pcr-policy.ts'

/** Said once, when a machine joins: which TPM it is, and the key that will quote. */
export interface TpmHello {
  readonly ek: {
    /** X.509, DER: the EK certificate, then those between it and its root, if the machine has them */
    readonly certificates: readonly string[]
    /** TPM2B_PUBLIC */
    readonly public: string
  }
  readonly ak: {
    /** TPM2B_PUBLIC */
    readonly public: string
    /** of TPM2_CertifyCreation by the key itself: TPMS_CREATION_DATA, TPMS_ATTEST, TPMT_SIGNATURE */
    readonly creation: { readonly data: string; readonly attest: string; readonly signature: string }
  }
}

/** Which PCRs the hub wants quoted: it is the hub that chooses. */
export interface PcrWish {
  readonly bank: PcrBank
  readonly indices: readonly number[]
  /** the event log is to come with the quote */
  readonly eventLog: boolean
}

/** Of TPM2_MakeCredential: only the TPM of that EK, holding that AK, can read the secret. */
export interface TpmCredential {
  /** TPM2B_ID_OBJECT */
  readonly blob: string
  /** TPM2B_ENCRYPTED_SECRET */
  readonly secret: string
}

export interface TpmEvidence {
  readonly type: 'tpm'
  /** TPMS_ATTEST of TPM2_Quote: its extraData is the transcript */
  readonly quote: string
  /** TPMT_SIGNATURE */
  readonly signature: string
  readonly pcrs: PcrValues
  /** TCG2 crypto-agile log, as the firmware left it */
  readonly eventLog?: string
  /** an SVID key inside the TPM: TPM2B_PUBLIC, TPMS_ATTEST of TPM2_Certify over it, TPMT_SIGNATURE */
  readonly key?: { readonly public: string; readonly certify: string; readonly signature: string }
  /** at the first join alone: the join token, and what shows that the credential was activated */
  readonly join?: { readonly token: string; readonly activation: string }
}

/** Bytes of an event log, at most: large ones of servers reach some 150 KiB. */
export const MAX_EVENT_LOG_BYTES: number = 256 * 1024

const MAX_PUBLIC_BYTES = 1024
const MAX_ATTEST_BYTES = 1024
const MAX_SIGNATURE_BYTES = 1024

const publicArea = base64urlText({ min: 2, max: MAX_PUBLIC_BYTES })
const attest = base64urlText({ min: 2, max: MAX_ATTEST_BYTES })
const signature = base64urlText({ min: 2, max: MAX_SIGNATURE_BYTES })

/** ZT-422-SCHEMA. */
export const tpmHelloField: Parser<TpmHello> = object({
  ek: object({
    // identity.md §4 T11: no deep chains.
    certificates: array(base64urlText({ min: 1, max: 8192 }), { min: 1, max: 4 }),
    public: publicArea,
  }),
  ak: object({
    public: publicArea,
    creation: object({ data: base64urlText({ min: 2, max: 1024 }), attest, signature }),
  }),
})

/** ZT-422-SCHEMA. */
export const pcrWishField: Parser<PcrWish> = object({
  bank: pcrBankField,
  indices: pcrIndicesField,
  eventLog: boolean,
})

/** ZT-422-SCHEMA. */
export const tpmCredentialField: Parser<TpmCredential> = object({
  blob: base64urlText({ min: 2, max: 512 }),
  secret: base64urlText({ min: 2, max: 1024 }),
})

/** ZT-422-SCHEMA. */
export const tpmEvidenceField: Parser<TpmEvidence> = object({
  type: literal('tpm'),
  quote: attest,
  signature,
  pcrs: pcrValuesField,
  eventLog: optional(base64urlText({ min: 1, max: MAX_EVENT_LOG_BYTES })),
  key: optional(object({ public: publicArea, certify: attest, signature })),
  join: optional(object({ token: bytes32Field, activation: bytes32Field })),
})

/** HMAC-SHA256 of the transcript under the secret of the credential: the secret itself is on no wire. */
export function activationProof(secret: Uint8Array, transcript: Uint8Array): Uint8Array {
  return createHmac('sha256', secret).update(transcript).digest()
}
