// What a node hands in as proof by its TPM, as bytes: nothing here has been looked at, and every part may be hostile.
import type { PcrValues } from '#shared/protocol/pcr-policy.ts'

export interface EndorsementEvidence {
  /** DER: first the EK's certificate, as long as its NV index if need be; then issuers of it that the TPM holds */
  readonly certificates: readonly Uint8Array[]
  /** TPM2B_PUBLIC of the EK */
  readonly public: Uint8Array
}

/** TPM2_CertifyCreation of the AK by itself. */
export interface CreationEvidence {
  /** TPMS_CREATION_DATA, without the length that a TPM2B has before it */
  readonly data: Uint8Array
  /** TPMS_ATTEST */
  readonly attest: Uint8Array
  /** TPMT_SIGNATURE */
  readonly signature: Uint8Array
}

export interface AkEvidence {
  /** TPM2B_PUBLIC of the AK */
  readonly public: Uint8Array
  readonly creation?: CreationEvidence
}

export interface QuoteEvidence {
  /** TPMS_ATTEST, without the length that a TPM2B has before it */
  readonly attest: Uint8Array
  /** TPMT_SIGNATURE */
  readonly signature: Uint8Array
  readonly pcrs: PcrValues
}

/** TPM2_Certify of the SVID's key by the AK. */
export interface CertifiedKeyEvidence {
  /** TPM2B_PUBLIC of the SVID's key */
  readonly public: Uint8Array
  /** TPMS_ATTEST */
  readonly attest: Uint8Array
  /** TPMT_SIGNATURE */
  readonly signature: Uint8Array
}

/** What every admission of a TPM node carries, the first as well as each renewal. */
export interface ProofEvidence {
  readonly quote: QuoteEvidence
  /** the firmware's log, crypto-agile form */
  readonly eventLog?: Uint8Array
  readonly certified?: CertifiedKeyEvidence
}

// T11: no genuine blob is longer, in bytes.
export const MAX_PUBLIC_BYTES = 1024
export const MAX_ATTEST_BYTES = 1024
export const MAX_SIGNATURE_BYTES = 1024
export const MAX_CREATION_BYTES = 1024
