// T5: the proof that an EK and an AK are in one TPM. The hub seals a secret to the EK, to be opened only beside an object of the
// AK's name; whoever answers with it has both. Each secret is for one session, which its caller takes once.
import { equalBytes } from '#shared/encoding/digest.ts'
import { activationProof } from '#shared/protocol/tpm-evidence.ts'
import { makeCredential, type Credential } from '#shared/tpm/credential.ts'
import type { VerifiedAk } from './attestation-key.ts'
import type { VerifiedEk } from './endorsement.ts'
import { refuse } from './refusal.ts'

/**
 * What TPM2_ActivateCredential is asked with. `secret` is 32 fresh random bytes, kept until the answer. Throws ZT-422-TPM
 * for an EK that can protect no secret.
 */
export function sealActivation(
  { ek, ak }: { readonly ek: VerifiedEk; readonly ak: VerifiedAk },
  secret: Uint8Array,
): Credential {
  return makeCredential({ ek: ek.public, akName: ak.name, secret })
}

/** Throws ZT-401-TPM-ACTIVATION unless `proof` is by somebody who opened `secret`; compares in constant time. */
export function requireActivation(
  { secret, transcript }: { readonly secret: Uint8Array; readonly transcript: Uint8Array },
  proof: Uint8Array,
): void {
  if (equalBytes(activationProof(secret, transcript), proof)) return
  throw refuse('ZT-401-TPM-ACTIVATION', 'proof', 'the TPM of the EK did not open the secret for this AK')
}
