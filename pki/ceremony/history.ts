// What came before: each ceremony names the transcript of the one before it, signed by its quorum, so that ceremonies are
// one chain from the root's on and the officers in force are those whom that chain left in force.
import { ZtError } from '#shared/errors/error.ts'
import type { TranscriptLine } from '#shared/protocol/ceremony-transcript.ts'
import { refused } from './approval.ts'
import { refuse, type InputFile } from './fields.ts'
import type { LaterCeremony } from './file.ts'
import type { Inputs } from './inputs.ts'
import type { Officers } from './officers-file.ts'
import { quorumDigest, type Quorum } from './quorum.ts'
import { openSigned, type SignedTranscript } from './signatures.ts'

/** A transcript among the inputs, signed by the quorum that was in force then. ZT-422-CEREMONY, ZT-403-QUORUM. */
export function openTranscript(inputs: Inputs, input: InputFile, officers: Officers): SignedTranscript {
  const quorumOf = (lines: readonly TranscriptLine[]): Quorum => {
    const digest = lines.find(({ step }) => step === 'quorum')?.facts['digest']
    const found = officers.quorums.find((quorum) => quorumHex(quorum) === digest)
    if (found === undefined)
      throw refused('foreign', `transcript "${input.file}" names officers that are not of this root`)
    return found
  }
  return openSigned(inputs.text(input), inputs.signatures(input), quorumOf)
}

/**
 * The ceremony before `ceremony`. Throws as openTranscript(), and ZT-403-QUORUM (foreign) if it left other officers in
 * force, ZT-408-CLOCK if `now` is before its end.
 */
export function openHistory(
  ceremony: LaterCeremony,
  { inputs, officers, now }: { readonly inputs: Inputs; readonly officers: Officers; readonly now: number },
): SignedTranscript {
  const before = openTranscript(inputs, ceremony.after, officers)
  if (before.summary.trustDomain !== ceremony.trustDomain)
    throw refuse('field "after" is the transcript of another trust domain')
  if (leftInForce(before.lines) !== quorumHex(officers.inForce))
    throw refused('foreign', 'the ceremony before left other officers in force than the officers file says')
  if (now < before.summary.endedAt)
    throw new ZtError('ZT-408-CLOCK', 'the clock is behind the end of the ceremony before')
  return before
}

export function quorumHex(quorum: Quorum): string {
  return Buffer.from(quorumDigest(quorum)).toString('hex')
}

/** What a transcript says of a quorum. */
export function quorumFacts(quorum: Quorum): Record<string, string> {
  const { threshold, emergency, officers } = quorum
  return {
    digest: quorumHex(quorum),
    threshold: String(threshold),
    emergency: String(emergency),
    officers: officers.join(' '),
  }
}

/** Digest of the quorum in force after a ceremony: a change of officers counts only if it came to its end. */
function leftInForce(lines: readonly TranscriptLine[]): string | undefined {
  const fact = (step: string): string | undefined => lines.find((line) => line.step === step)?.facts['digest']
  return lines.at(-1)?.step === 'done' ? (fact('new quorum') ?? fact('quorum')) : fact('quorum')
}
