// A quote signed by a software key in the place of a registered AK: the only way to get past the signature with bytes that no
// TPM would sign, so that the check behind it is seen at work.
import type { PcrValues } from '#shared/protocol/pcr-policy.ts'
import { attest, quoteBody, signAttest, softAk, type AttestParts, type SoftAk } from '../../forged-tpm.ts'
import { extraOf, SELECTION } from '../asked.ts'
import { challengeFor, knownTo, registered, type Rig } from '../rig.ts'
import type { CaseParts } from './made.ts'

export interface SoftQuoteChange {
  readonly attest?: Partial<AttestParts>
  readonly ak?: SoftAk
  /** TPMT_SIGNATURE from the attestation's bytes and the key; by the key itself unless given */
  readonly signature?: (bytes: Uint8Array, ak: SoftAk) => Uint8Array
  /** the attestation as it is handed in, from the one that was signed */
  readonly bytes?: (signed: Uint8Array) => Uint8Array
}

/** Registers as the policy has them, and a body that fits, unless `change` says otherwise. */
export function softQuote(rig: Rig, change: SoftQuoteChange = {}): CaseParts {
  const ak = change.ak ?? softAk()
  const challenge = challengeFor(rig, rig.x.svid)
  const pcrs: PcrValues = rig.policy.sets[0]?.values ?? {}
  const body = quoteBody(pcrs, [SELECTION], ak.area.scheme?.hash ?? 'sha256')
  const signed = attest({ extraData: extraOf(challenge), body, ...change.attest })
  const signature = change.signature?.(signed, ak) ?? signAttest(ak.privateKey, signed)
  const quote = { attest: change.bytes?.(signed) ?? signed, signature, pcrs }
  const known = knownTo(rig, { registered: [registered(rig, { ak })] })
  return { evidence: { quote, csr: rig.x.csr }, challenge, known }
}
