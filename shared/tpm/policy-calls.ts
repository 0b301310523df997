// Calls that open a policy session and satisfy a policy in it (TPM 2.0 Part 3 §11.1, §23).
import { byPassword, nothing, tpmCall, type TpmCall } from './call.ts'
import { ALGORITHM, HANDLE, HANDLE_RANGE, SESSION, TAG } from './constants.ts'
import { hashId, MAX_DIGEST_BYTES, type TpmHash } from './hash.ts'
import { malformedTpm, TpmWriter } from './wire.ts'

/** TPM2_StartAuthSession of a policy session, unbound and unsalted; its handle is to be flushed. */
export function startPolicySession(hash: TpmHash, nonce: Uint8Array): TpmCall<number> {
  return tpmCall({
    command: 'startAuthSession',
    handles: [HANDLE.null, HANDLE.null],
    parameters: new TpmWriter()
      .sized(nonce)
      .u16(0)
      .u8(SESSION.policy)
      .u16(ALGORITHM.null)
      .u16(hashId(hash))
      .done(),
    returnsHandle: true,
    parse: (reader, handle) => {
      reader.sized(MAX_DIGEST_BYTES)
      const kind = handle - (handle % 0x100_0000)
      if (kind !== HANDLE_RANGE.policySession)
        throw malformedTpm('tpm session', `has the handle 0x${handle.toString(16)}`)
      return handle
    },
  })
}

/** TPM2_PolicySecret by the endorsement hierarchy's password. */
export function policyEndorsement(session: number, password: Uint8Array): TpmCall<void> {
  return tpmCall({
    command: 'policySecret',
    handles: [HANDLE.endorsement, session],
    auth: [byPassword(password)],
    // nonceTPM, cpHashA, policyRef, expiration: the session alone bounds what this permits.
    parameters: new TpmWriter().u16(0).u16(0).u16(0).u32(0).done(),
    parse: (reader) => {
      reader.sized(MAX_DIGEST_BYTES)
      if (reader.u16() !== TAG.authSecretTicket) throw malformedTpm('tpm ticket', 'is of another kind')
      reader.u32()
      reader.sized(MAX_DIGEST_BYTES)
    },
  })
}

/** TPM2_PolicyOR: the session's digest must be one of `branches`. */
export function policyOr(session: number, branches: readonly Uint8Array[]): TpmCall<void> {
  const parameters = new TpmWriter().u32(branches.length)
  for (const branch of branches) parameters.sized(branch)
  return tpmCall({ command: 'policyOr', handles: [session], parameters: parameters.done(), parse: nothing })
}
