// The whole judgement of a proof by TPM, in the order in which it is cheapest to refuse: what a first admission and
// each renewal have in common. A first admission has verifyEndorsement(), verifyAk() and requireActivation() before it.
import type { NodeName } from '#shared/identity/names.ts'
import type { PcrPolicy } from '#shared/protocol/pcr-policy.ts'
import type { ClockInfo } from '#shared/tpm/attest.ts'
import type { VerifiedAk } from './attestation-key.ts'
import { verifyCertifiedKey } from './certified-key.ts'
import { replayEventLog } from './event-log.ts'
import type { ProofEvidence } from './evidence.ts'
import { evidenceDigest } from './evidence-digest.ts'
import { judgePcrs } from './pcr-judgement.ts'
import { verifyQuote, type QuoteFacts, type RequestedPcrs } from './quote.ts'
import { refuse } from './refusal.ts'

export interface ProofExpectation {
  readonly node: NodeName
  /** the activated one, or the one that is registered for the node */
  readonly ak: VerifiedAk
  /** attestTranscript(): it binds hub, session, nonce, node and the SVID's key (A13, A24) */
  readonly extraData: Uint8Array
  /** DER SubjectPublicKeyInfo of the SVID's key */
  readonly spki: Uint8Array
  /** as the challenge said */
  readonly selection: RequestedPcrs
  /** none: every PCR value is taken, and recorded */
  readonly policy?: PcrPolicy
  /** what the same AK's last quote said (T7) */
  readonly clock?: ClockInfo
  /** false: `policy` says what is to be shown, and its sets are not asked */
  readonly judgesPcrs?: boolean
  /** SHA-256 of what was said and judged before the challenge, at a join */
  readonly hello?: Uint8Array
  /** UTC, milliseconds */
  readonly now: number
}

/** Where the SVID's key is: certified by the TPM, or in the memory of the node (T9: never the same level). */
export type TpmKeyLevel = 'tpm-quote/tpm-key' | 'tpm-quote/soft-key'

export interface ProofVerdict {
  readonly quote: QuoteFacts
  /** the accepted set of the policy, if there is one */
  readonly set?: string
  readonly level: TpmKeyLevel
  /** `sha-256:` and the digest of all evidence that was judged (T14) */
  readonly evidence: string
}

/**
 * T6 to T9 and T13. Throws the codes of verifyQuote(), verifyCertifiedKey(), replayEventLog() and judgePcrs();
 * ZT-401-TPM-EVENTLOG with the reason `missing` if the policy requires a log and there is none.
 */
export function verifyProof(evidence: ProofEvidence, expected: ProofExpectation): ProofVerdict {
  const { policy, selection, node, now, hello, judgesPcrs = true } = expected
  const quote = verifyQuote(evidence.quote, {
    ...expected,
    ...(policy?.requireSafeClock !== undefined && { requireSafeClock: policy.requireSafeClock }),
  })
  if (evidence.certified !== undefined) verifyCertifiedKey(evidence.certified, expected)
  const eventLog = policy?.eventLog === 'required' ? requireEventLog(evidence) : undefined
  if (eventLog !== undefined) replayEventLog(eventLog, { bank: selection.bank, pcrs: quote.pcrs })
  const set = policy === undefined || !judgesPcrs ? {} : judgePcrs(policy, { node, pcrs: quote.pcrs, now })
  const level = evidence.certified === undefined ? 'tpm-quote/soft-key' : 'tpm-quote/tpm-key'
  return Object.freeze({ quote, ...set, level, evidence: evidenceDigest({ ...evidence, eventLog, hello }) })
}

function requireEventLog({ eventLog }: ProofEvidence): Uint8Array {
  if (eventLog !== undefined) return eventLog
  throw refuse('ZT-401-TPM-EVENTLOG', 'missing', 'the PCR policy requires an event log')
}
