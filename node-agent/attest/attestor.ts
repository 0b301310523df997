// How a machine proves which one it is. One interface, one implementation a kind of proof: join token, device key, TPM.
import type { Challenge, Evidence } from '#shared/protocol/admission.ts'
import type { TpmHello } from '#shared/protocol/tpm-evidence.ts'
import type { TpmSvidKey } from './tpm-svid-key.ts'

export interface Attestor {
  readonly kind: Evidence['type']
  /** What is said before the challenge, for a kind that has something to say there. */
  hello?(): Promise<TpmHello>
  /** A new key for the SVID, for a kind that keeps it in a module. */
  createKey?(): Promise<TpmSvidKey>
  /**
   * Evidence over `transcript` (32 bytes), which names hub, session, nonce, node and every key of the request. It must
   * sign exactly these bytes, so that the evidence is worth nothing in any other session. `key` is the one of createKey().
   */
  attest(transcript: Uint8Array, challenge: Challenge, key?: TpmSvidKey): Promise<Evidence>
}
