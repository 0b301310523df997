// The officers' signatures under a transcript, beside it as `TRANSCRIPT.sigs`: one C2SP note over its head, a line for
// each officer. A transcript that the quorum has not signed is a draft: nothing follows it.
import { isZtError } from '#shared/errors/error.ts'
import { openNote, signNote, type NoteSigner } from '#shared/log/note.ts'
import {
  summarizeTranscript,
  verifyTranscript,
  type TranscriptLine,
  type TranscriptSummary,
} from '#shared/protocol/ceremony-transcript.ts'
import { refused } from './approval.ts'
import { officersOf, type Quorum } from './quorum.ts'

export const SIGNATURES: string = '.sigs'

const HEADING = 'ztmesh ceremony transcript v1'

/** A transcript that its officers signed. */
export interface SignedTranscript {
  readonly lines: readonly TranscriptLine[]
  readonly summary: TranscriptSummary
  /** names of those who signed */
  readonly signers: readonly string[]
}

/** The note over a transcript's head with the signatures of `officers`. */
export function signHead(summary: TranscriptSummary, officers: readonly NoteSigner[]): string {
  return signNote(headText(summary), officers)
}

/**
 * The note `held` with the signature of `officer` added. ZT-403-QUORUM (twice) if it is there already, (other-file) if
 * the note is of another transcript.
 */
export function addSignature(held: string, summary: TranscriptSummary, officer: NoteSigner): string {
  if (!held.startsWith(`${headText(summary)}\n`))
    throw refused('other-file', 'the signatures are those of another transcript')
  const own = signHead(summary, [officer])
  const line = own.slice(own.lastIndexOf('\n\n') + 2)
  if (held.includes(line)) throw refused('twice', `${officer.name} has signed this transcript`)
  return `${held}${line}`
}

/** Who must have signed a transcript. */
export interface Signatories {
  readonly quorum: Quorum
  readonly needed: number
  /** names of those who approved the ceremony: they say that it is what they approved (C10) */
  readonly approvers: readonly string[]
}

/** Names of the officers of `quorum` who signed; ZT-403-QUORUM if they are fewer than `needed`, or an approver is missing. */
export function requireSigned(
  note: string,
  summary: TranscriptSummary,
  { quorum, needed, approvers }: Signatories,
): readonly string[] {
  const { text, signers } = open(note, quorum)
  if (text !== headText(summary))
    throw refused('other-file', 'the signatures are those of another transcript')
  if (signers.length < needed)
    throw refused('below', `${signers.length} of ${needed} officers signed the transcript`)
  const names = signers.map(({ name }) => name)
  const missing = approvers.find((name) => !names.includes(name))
  if (missing !== undefined)
    throw refused('approver', `${missing} approved the ceremony and did not sign its transcript`)
  return names
}

/** Names of those whom a transcript names as approving. */
export function approversOf(lines: readonly TranscriptLine[]): readonly string[] {
  return lines.filter(({ step }) => step === 'approval').map(({ facts }) => facts['officer'] ?? '')
}

/** Reads a transcript and its signatures, by the quorum of `quorums` that it names as in force. */
export function openSigned(
  transcript: string,
  note: string,
  quorumOf: (lines: readonly TranscriptLine[]) => Quorum,
): SignedTranscript {
  const lines = verifyTranscript(transcript)
  const summary = summarizeTranscript(lines)
  const quorum = quorumOf(lines)
  const approvers = approversOf(lines)
  const signers = requireSigned(note, summary, { quorum, needed: quorum.threshold, approvers })
  return { lines, summary, signers }
}

function headText({ trustDomain, head }: TranscriptSummary): string {
  return [HEADING, trustDomain, head, ''].join('\n')
}

function open(note: string, quorum: Quorum): ReturnType<typeof openNote> {
  try {
    return openNote(note, officersOf(quorum))
  } catch (error) {
    if (isZtError(error, 'ZT-490-SIGNATURE'))
      throw refused('foreign', 'the transcript is not signed by an officer in force', error)
    if (isZtError(error)) throw refused('malformed', `the signatures are no note: ${error.message}`, error)
    throw error
  }
}
