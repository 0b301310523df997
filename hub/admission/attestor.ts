// How a machine proves which one it is. One interface, one implementation a kind of evidence, so that a TPM comes in
// beside the join token and the device key, not in their place.
import { verify, type KeyObject } from 'node:crypto'
import { decodeBase64url } from '#shared/encoding/base64url.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { NodeName } from '#shared/identity/names.ts'
import type { Evidence, LogIdentity } from '#shared/protocol/admission.ts'

export interface Intent {
  readonly how: 'joined' | 'replaced'
  /** base64url SHA-256 of the device key */
  readonly device: string
}

export interface AttestContext {
  readonly node: NodeName
  /** what every proof signs: this session, node, hub and these keys */
  readonly transcript: Uint8Array
  /** the log that the machine says is its own: the transcript names it */
  readonly log: LogIdentity
  /** UTC, milliseconds */
  readonly now: number
  /** Writes what is about to be done: awaited before it is done. Rejects if it cannot be written. */
  readonly announce: (intent: Intent) => Promise<void>
}

export interface Attested {
  /** 1 join token or device key, 2 TPM */
  readonly lvl: number
  /** DER public key of the machine that proved itself: what is issued is issued to it */
  readonly device: Uint8Array
  /** how the name came to this machine, for the audit row */
  readonly how: 'joined' | 'replaced' | 'device-key'
  /** it had joined by this token before, and the answer was lost */
  readonly repeated?: true
}

export interface Attestor {
  /** The proof, or undefined if the evidence is not of this kind. Throws if it is and does not hold. */
  attest(evidence: Evidence, context: AttestContext): Promise<Attested | undefined>
}

/** Throws ZT-401-EVIDENCE unless the key signed the transcript (ES256). */
export function requireProof(key: KeyObject, proof: string, transcript: Uint8Array): void {
  const signature = decodeBase64url(proof, 'proof')
  if (verify('sha256', transcript, { key, dsaEncoding: 'ieee-p1363' }, signature)) return
  throw new ZtError('ZT-401-EVIDENCE', 'the proof of the device key does not hold')
}
