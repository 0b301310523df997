// How a machine proves which one it is. One interface, one implementation a kind of evidence: the join token, the device
// key that follows it, and the TPM.
import { verify, type KeyObject } from 'node:crypto'
import { decodeBase64url } from '#shared/encoding/base64url.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { NodeName } from '#shared/identity/names.ts'
import type { RowDraft } from '#shared/log/row.ts'
import type { Evidence, LogIdentity } from '#shared/protocol/admission.ts'
import type { AcceptedBy } from '#shared/protocol/node-inspection.ts'
import type { PcrWish } from '#shared/protocol/tpm-evidence.ts'
import type { WrittenRow } from '../audit/rows.ts'
import type { QuoteStep } from '../store/store.ts'

export interface Intent {
  readonly how: 'joined' | 'replaced'
  /** base64url SHA-256 of the device key */
  readonly device: string
}

/** What a hello proved, sealed into the session: which TPM, which key in it, and the secret that only it can read. */
export interface TpmClaim {
  /** lower-case hex SHA-256 of the EK */
  readonly ek: string
  /** lower-case hex SHA-256 of the vendor's root certificate */
  readonly root: string
  readonly maker: string
  /** base64url TPM2B_PUBLIC */
  readonly ak: string
  /** base64url, 32 bytes */
  readonly secret: string
  /** base64url SHA-256 of the hello */
  readonly hello: string
}

/** What a challenge was about when it was given out. */
export interface AdmissionChallenge {
  readonly node: NodeName
  readonly nonce: string
  readonly wish?: PcrWish
  readonly claim?: TpmClaim
}

export interface AttestContext {
  readonly node: NodeName
  readonly challenge: AdmissionChallenge
  /** when the challenge was given out: UTC, milliseconds */
  readonly asked: number
  /** what every proof signs: this session, node, hub and these keys */
  readonly transcript: Uint8Array
  /** DER public key of the SVID that is asked for */
  readonly spki: Uint8Array
  /** the log that the machine says is its own: the transcript names it */
  readonly log: LogIdentity
  /** UTC, milliseconds */
  readonly now: number
  /** Writes what is about to be done: awaited before it is done. Rejects if it cannot be written. */
  readonly announce: (intent: Intent) => Promise<void>
  /** Writes a row of this admission, in the node's name. Rejects if it cannot be written. */
  readonly note: (draft: Pick<RowDraft, 'type' | 'out' | 'code' | 'obj'>) => Promise<WrittenRow>
}

export interface Attested {
  /** 1 join token or device key, 2 TPM */
  readonly lvl: number
  /** DER public key of the machine that proved itself: what is issued is issued to it */
  readonly device: Uint8Array
  /** how the name came to this machine, or with what it stays its own, for the audit row */
  readonly how: 'joined' | 'replaced' | 'device-key' | 'tpm'
  /** `sha-256:` and the digest of what was shown; nothing of a join token is in it */
  readonly evidence: string
  /** it had joined by this token before, and the answer was lost */
  readonly repeated?: true
  readonly tpm?: AttestedTpm
}

export interface AttestedTpm {
  readonly ek: string
  readonly svidKey: 'soft' | 'tpm'
  readonly step: QuoteStep
  /** undefined while the hub has no PCR policy */
  readonly policy: AcceptedBy | undefined
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
