// How a machine proves which one it is. One interface, one implementation a kind of proof; a TPM is to be the third.
import type { Evidence } from '#shared/protocol/admission.ts'

export interface Attestor {
  readonly kind: Evidence['type']
  /**
   * Evidence over `transcript` (32 bytes), which names hub, session, nonce, node and every key of the request. It must
   * sign exactly these bytes, so that the evidence is worth nothing in any other session.
   */
  attest(transcript: Uint8Array): Promise<Evidence>
}
