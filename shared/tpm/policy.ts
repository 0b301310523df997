// Policy digests, computed without a TPM (TPM 2.0 Part 3 §23): what an object's authPolicy must be for the ways in which ztmesh
// may use it.
import { COMMAND, HANDLE } from './constants.ts'
import { digest, digestBytes, type TpmHash } from './hash.ts'
import { TpmWriter } from './wire.ts'

/** PolicyA of the TCG EK Credential Profile (B.3): whoever has the endorsement hierarchy's password. */
export function endorsementPolicy(hash: TpmHash): Uint8Array {
  // A permanent handle's name is the handle itself (Part 1 §16); the second extension is by the empty policyRef.
  const name = new TpmWriter().u32(HANDLE.endorsement).done()
  const first = digest(hash, new Uint8Array(digestBytes(hash)), commandCode('policySecret'), name)
  return digest(hash, first)
}

/** Whatever satisfies one of `branches`. */
export function orPolicy(hash: TpmHash, branches: readonly Uint8Array[]): Uint8Array {
  return digest(hash, new Uint8Array(digestBytes(hash)), commandCode('policyOr'), ...branches)
}

function commandCode(name: keyof typeof COMMAND): Uint8Array {
  return new TpmWriter().u32(COMMAND[name]).done()
}
