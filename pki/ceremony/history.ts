// What came before: each ceremony names the transcript of the one before it, signed by its quorum, so that ceremonies are
// one chain from the root's on. Officers and bundle in force are what that chain left in force, whatever is brought.
import { ZtError } from '#shared/errors/error.ts'
import type { Facts, TranscriptLine } from '#shared/protocol/ceremony-transcript.ts'
import { refused } from './approval.ts'
import { refuse, type InputFile } from './fields.ts'
import type { Ceremony, LaterCeremony } from './file.ts'
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
 * The ceremony before `ceremony`. Throws as openTranscript(), ZT-422-CEREMONY if only one of the two is a demonstration,
 * ZT-403-QUORUM (foreign) if it left other officers in force, ZT-408-CLOCK if `now` is before its end.
 */
export function openHistory(
  ceremony: LaterCeremony,
  { inputs, officers, now }: { readonly inputs: Inputs; readonly officers: Officers; readonly now: number },
): SignedTranscript {
  const before = openTranscript(inputs, ceremony.after, officers)
  if (before.summary.trustDomain !== ceremony.trustDomain)
    throw refuse('field "after" is the transcript of another trust domain')
  // Otherwise whoever holds no key could hold a real root's ceremonies by the rules of a rehearsal.
  if (before.lines[0]?.facts['demo'] !== String(ceremony.demo))
    throw refuse('a demonstration follows demonstrations alone, and nothing else follows one')
  if (leftInForce(before.lines) !== quorumHex(officers.inForce))
    throw refused('foreign', 'the ceremony before left other officers in force than the officers file says')
  if (now < before.summary.endedAt)
    throw new ZtError('ZT-408-CLOCK', 'the clock is behind the end of the ceremony before')
  return before
}

/** A bundle as transcripts name it; both empty before there is one. */
export interface BundleName {
  /** lower-case hex SHA-256 of its file */
  readonly bundle: string
  readonly sequence: string
}

/** The bundle in force after a ceremony: one that it signed counts only if it came to its end. */
export function bundleLeft(before: SignedTranscript | undefined): BundleName {
  if (before === undefined) return { bundle: '', sequence: '' }
  const [first, last] = [before.lines[0], before.lines.at(-1)]
  const made = before.lines.find(({ step }) => step === 'signed bundle')
  const { bundle, sequence } = (last?.step === 'done' && made !== undefined ? made : first)?.facts ?? {}
  if (bundle === undefined || sequence === undefined)
    throw refuse('the transcript before does not say which bundle was in force')
  return { bundle, sequence }
}

/** What the first line of a transcript says that follows from the ceremony file and from what came before it. */
export function openingFacts(ceremony: Ceremony, before: SignedTranscript | undefined): Facts {
  const { type, trustDomain, demo, requester } = ceremony
  const previous = before?.summary.head ?? ''
  return { type, trustDomain, demo: String(demo), requester, previous, ...bundleLeft(before) }
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
