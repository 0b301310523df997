// An officer's approval: a detached note over the digest of the canonical ceremony file, and with it over everything that
// the file names by digest. The machine that holds the ceremony counts approvals; it does not make them.
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { openNote, signNote, type NoteSigner, type NoteVerifier } from '#shared/log/note.ts'
import { hex } from './certify.ts'
import type { Ceremony, CeremonyFile } from './file.ts'
import { officersOf, type Quorum } from './quorum.ts'

/** Why approvals do not carry a ceremony; `details.reason` of ZT-403-QUORUM. */
export type QuorumRefusal =
  | 'approver'
  | 'below'
  | 'foreign'
  | 'malformed'
  | 'other-file'
  | 'requester'
  | 'stale'
  | 'twice'

/** An approval that was counted. */
export interface Approval {
  readonly officer: string
  /** the officer's key */
  readonly vkey: string
  /** UTC, milliseconds */
  readonly at: number
  readonly note: string
}

/** An approval this old says nothing any more: its officer may have left since. */
export const APPROVAL_MAX_AGE_MS: number = 14 * 86_400_000
/** How far an officer's clock may be ahead. */
const SKEW_MS = 300_000
const HEADING = 'ztmesh ceremony approval v1'
/** A transcript holds it whole: one fact of a line (shared/protocol/ceremony-transcript.ts). */
const MAX_NOTE = 4096

/** What an officer signs. */
export function approvalText({ ceremony, canonical }: CeremonyFile, atMs: number): string {
  const at = new Date(Math.floor(atMs / 1000) * 1000).toISOString().replace('.000Z', 'Z')
  return [HEADING, ceremony.trustDomain, ceremony.type, hex(canonical), at, ''].join('\n')
}

/** The note of `officer`. ZT-403-QUORUM (requester) if it is who asks for the ceremony. */
export function approve(file: CeremonyFile, officer: NoteSigner, atMs: number): string {
  requireOther(officer, file.ceremony)
  return signNote(approvalText(file, atMs), [officer])
}

/** Who is asked. */
export interface Voters {
  /** in force */
  readonly quorum: Quorum
  /** in an emergency: as many as it needs must be of this one, too (see settledQuorum() in officers-file.ts) */
  readonly settled?: Quorum | undefined
}

/** How many officers a ceremony needs. */
export function neededFor(ceremony: Ceremony, quorum: Quorum): number {
  return ceremony.type === 'retire-root' && ceremony.emergency ? quorum.emergency : quorum.threshold
}

/**
 * The approvals of `file`, one an officer, at least as many as it needs at `now`. Throws ZT-403-QUORUM with
 * `details.reason`; one bad approval refuses all: nobody should have to ask what it was doing there.
 */
export function requireQuorum(
  file: CeremonyFile,
  notes: readonly string[],
  { quorum, settled, now }: Voters & { readonly now: number },
): readonly Approval[] {
  const officers = officersOf(quorum)
  const approvals = notes.map((note) => openApproval(note, { file, officers, now }))
  const names = approvals.map(({ officer }) => officer)
  const twice = names.find((name, at) => names.indexOf(name) !== at)
  if (twice !== undefined) throw refused('twice', `${twice} approved twice and counts once`)
  const needed = neededFor(file.ceremony, quorum)
  if (approvals.length < needed)
    throw refused('below', `${approvals.length} of ${needed} officers approved this ceremony file`)
  if (settled !== undefined) requireSettled(approvals, settled)
  return approvals
}

export function refused(reason: QuorumRefusal, what: string, cause?: unknown): ZtError {
  return new ZtError('ZT-403-QUORUM', what, { cause, details: { reason } })
}

function requireSettled(approvals: readonly Approval[], { emergency, officers }: Quorum): void {
  const count = approvals.filter(({ vkey }) => officers.includes(vkey)).length
  if (count < emergency)
    throw refused(
      'below',
      `${count} of ${emergency} officers who count in an emergency approved: others are too new`,
    )
}

interface Counting {
  readonly file: CeremonyFile
  readonly officers: readonly NoteVerifier[]
  readonly now: number
}

function openApproval(note: string, { file, officers, now }: Counting): Approval {
  if (note.length > MAX_NOTE) throw refused('malformed', `an approval is over ${MAX_NOTE} characters`)
  const { text, signers } = open(note, officers)
  const [signer, second] = signers
  if (signer === undefined || second !== undefined)
    throw refused('malformed', 'an approval is not signed by one officer')
  requireOther(signer, file.ceremony)
  const at = Date.parse(text.split('\n')[4] ?? '')
  if (Number.isNaN(at)) throw refused('malformed', `the approval of ${signer.name} has no time`)
  if (text !== approvalText(file, at))
    throw refused('other-file', `the approval of ${signer.name} is for another ceremony file`)
  if (at > now + SKEW_MS || at < now - APPROVAL_MAX_AGE_MS)
    throw refused('stale', `the approval of ${signer.name} is over 14 days old, or from the future`)
  return { officer: signer.name, vkey: signer.vkey, at, note }
}

function open(note: string, officers: readonly NoteVerifier[]): ReturnType<typeof openNote> {
  try {
    return openNote(note, officers)
  } catch (error) {
    if (isZtError(error, 'ZT-490-SIGNATURE'))
      throw refused('foreign', 'an approval is not signed by an officer in force', error)
    if (isZtError(error)) throw refused('malformed', `an approval is no note: ${error.message}`, error)
    throw error
  }
}

/** C3: nobody approves what they asked for. */
function requireOther({ name }: NoteVerifier, { requester }: Ceremony): void {
  if (name === requester) throw refused('requester', `${name} asks for this ceremony and cannot approve it`)
}
