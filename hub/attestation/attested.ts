// T6, as far as it is the same for a quote, a certified key and a certified creation: that a structure was made inside a
// TPM, is of the expected type, answers this challenge and no other, and was signed by this AK.
import { parseAttest, type TpmAttest } from '#shared/tpm/attest.ts'
import { GENERATED } from '#shared/tpm/constants.ts'
import { parseTpmSignature, verifyTpmSignature, type TpmSignature } from '#shared/tpm/signature.ts'
import { equalBytes } from '#shared/encoding/digest.ts'
import type { TpmPublic } from '#shared/tpm/public.ts'
import { MAX_ATTEST_BYTES, MAX_SIGNATURE_BYTES } from './evidence.ts'
import { refuse, requireSize } from './refusal.ts'

export interface SignedAttest {
  /** TPMS_ATTEST */
  readonly attest: Uint8Array
  /** TPMT_SIGNATURE */
  readonly signature: Uint8Array
}

export interface AttestExpectation {
  readonly ak: { readonly public: TpmPublic }
  /** TPM_ST */
  readonly type: number
  /** the whole of what the structure must be bound to */
  readonly extraData: Uint8Array
}

/**
 * The structure, proved. Throws, in this order: ZT-413-SIZE, ZT-422-TPM (malformed, trailing bytes), ZT-401-TPM-ALG,
 * ZT-401-TPM-SIG, ZT-401-TPM-MAGIC, ZT-401-TPM-TYPE, ZT-401-TPM-EXTRA.
 */
export function openAttested({ attest, signature }: SignedAttest, expected: AttestExpectation): TpmAttest {
  requireSize(attest, MAX_ATTEST_BYTES, 'the attestation')
  requireSize(signature, MAX_SIGNATURE_BYTES, 'the signature of the attestation')
  const structure = parseAttest(attest)
  const signed = parseTpmSignature(signature)
  requireSchemeOf(expected.ak.public, signed)
  if (!verifyTpmSignature(expected.ak.public, signed, attest))
    throw refuse('ZT-401-TPM-SIG', 'signature', 'the attestation is not signed by this AK')
  // A restricted key signs data from outside only if they do not begin so (Part 1 §24.5): with it, a TPM made this.
  if (structure.magic !== GENERATED)
    throw refuse('ZT-401-TPM-MAGIC', 'magic', 'the attestation was not made inside a TPM')
  if (structure.type !== expected.type)
    throw refuse('ZT-401-TPM-TYPE', 'type', 'the attestation is of another kind than was asked for')
  if (!equalBytes(structure.extraData, expected.extraData))
    throw refuse('ZT-401-TPM-EXTRA', 'extra-data', 'the attestation answers another challenge')
  return structure
}

function requireSchemeOf({ scheme }: TpmPublic, signature: TpmSignature): void {
  // SHA-1 cannot pass: attestation-key.ts has refused every AK that names it.
  if (scheme === undefined || scheme.algorithm !== signature.algorithm || scheme.hash !== signature.hash)
    throw refuse(
      'ZT-401-TPM-ALG',
      'scheme',
      'the attestation is signed in another scheme than that of the AK',
    )
}
