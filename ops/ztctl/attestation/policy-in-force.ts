// Reads the policy out of a signed note without verifying it: ztctl does not know which keys the hub's configuration names.
// It is shown, or drafted from; whatever is made of it is signed anew, and verified by the hub.
import { ZtError } from '#shared/errors/error.ts'
import { parsePcrPolicyText, PCR_POLICY_HEAD, type PcrPolicy } from '#shared/protocol/pcr-policy.ts'

/** ZT-422-NOTE for a text that is not such a note; ZT-422-SCHEMA. */
export function readUnverifiedPolicy(note: string): PcrPolicy {
  const end = note.lastIndexOf('\n\n')
  if (end < 0 || !note.startsWith(PCR_POLICY_HEAD))
    throw new ZtError('ZT-422-NOTE', 'the text is not a signed PCR policy')
  return parsePcrPolicyText(note.slice(PCR_POLICY_HEAD.length, end))
}
