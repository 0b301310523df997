// Goes over a ceremony again with public things alone: its transcript, its file, its inputs and outputs. Every line but
// those about people and the machine follows from the file, so every line is worked out anew and compared.
import { readFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import {
  summarizeTranscript,
  verifyTranscript,
  type TranscriptLine,
  type TranscriptSummary,
} from '#shared/protocol/ceremony-transcript.ts'
import { rootFingerprint } from '#shared/x509/bundle.ts'
import type { Certificate } from '#shared/x509/certificate.ts'
import { neededFor, refused, requireQuorum } from './approval.ts'
import { hex, recheck } from './certify.ts'
import { compareDone, compareFailed, differs, missing } from './expected.ts'
import { refuse } from './fields.ts'
import type { Ceremony } from './file.ts'
import { openingFacts, quorumHex } from './history.ts'
import { readInput } from './inputs.ts'
import { openOfficers } from './officers-file.ts'
import { prepare, readCeremonyFile, requireWindow, type Prepared } from './prepare.ts'
import { approversOf, requireSigned, SIGNATURES } from './signatures.ts'
import type { Made, Work } from './work.ts'

export interface Verification {
  readonly transcript: string
  /** where the ceremony's files are; beside the transcript unless given */
  readonly folder?: string
  /** the transcript that must have come before */
  readonly previous?: string
  /** an officers file that the verifier trusts */
  readonly officers?: string
  /** hex SHA-256 of the root that the verifier trusts */
  readonly root?: string
  /** true: the officers have still to sign, so their signatures are not looked for */
  readonly unsigned?: boolean
}

export interface Verified {
  readonly summary: TranscriptSummary
  readonly prepared: Prepared
  /** for people: what was found to hold, a line each */
  readonly found: readonly string[]
}

/**
 * Verifies a transcript and all that it stands for. Throws ZT-422-CEREMONY naming the line, ZT-403-QUORUM, and what the
 * checks of certificates and bundles throw.
 */
export async function verifyCeremony(options: Verification): Promise<Verified> {
  const folder = options.folder ?? dirname(resolve(options.transcript))
  const text = await readText(options.transcript)
  const lines = verifyTranscript(text)
  const summary = summarizeTranscript(lines)
  const prepared = await replay(lines, folder)
  const found = [`transcript: ${lines.length} lines, each bound to the one before; head ${summary.head}`]
  found.push(...checkQuorum(lines, prepared))
  const root = await checkMade(lines, { prepared, folder, found })
  await checkTrust(options, { prepared, summary, root })
  if (root !== undefined) found.push(`root: ${rootFingerprint(root)}`)
  if (options.unsigned !== true)
    found.push(
      await checkSignatures(options.transcript, { summary, prepared, approvers: approversOf(lines) }),
    )
  return { summary, prepared, found }
}

/** The ceremony file and its inputs as they were, and the work that follows from them. */
async function replay(lines: readonly TranscriptLine[], folder: string): Promise<Prepared> {
  const [first] = lines
  const facts = first?.facts ?? {}
  const reviewed = await readCeremonyFile(join(folder, basename(facts['file'] ?? '')))
  const { ceremony, canonical } = reviewed
  if (hex(canonical) !== facts['sha256'])
    throw differs(0, 'names another ceremony file than the one that is here')
  const checkedAt = timeOf(facts['checkedAt'] ?? '')
  if (!(checkedAt <= Date.parse(first?.at ?? ''))) throw differs(0, 'was not written after all was checked')
  requireWindow(ceremony, checkedAt)
  const prepared = await prepare(reviewed, checkedAt)
  for (const [name, value] of Object.entries(openingFacts(ceremony, prepared.before)))
    if (facts[name] !== value) throw differs(0, `says another "${name}" than the ceremony file`)
  return prepared
}

/** UTC, milliseconds; NaN for what a transcript does not say in that way. */
function timeOf(text: string): number {
  const at = Date.parse(text)
  return !Number.isNaN(at) && new Date(at).toISOString() === text ? at : Number.NaN
}

function checkQuorum(lines: readonly TranscriptLine[], { reviewed, quorum, settled }: Prepared): string[] {
  const approvals = lines.filter(({ step }) => step === 'approval')
  const notes = approvals.map(({ facts }) => facts['note'] ?? '')
  const now = Date.parse(lines[0]?.facts['checkedAt'] ?? '')
  const counted = requireQuorum(reviewed, notes, { quorum, settled, now })
  for (const [at, { officer }] of counted.entries()) {
    const line = approvals[at]
    if (line?.facts['officer'] !== officer)
      throw differs(line?.seq ?? 0, 'names another officer than the approval')
  }
  return [
    `quorum: ${quorumHex(quorum)}, approved by ${counted.map(({ officer }) => officer).join(', ')}` +
      ` (${neededFor(reviewed.ceremony, quorum)} needed)`,
  ]
}

interface Place {
  readonly prepared: Prepared
  readonly folder: string
  readonly found: string[]
}

/** Everything that was signed and written; answers the root of the ceremony. */
async function checkMade(
  lines: readonly TranscriptLine[],
  { prepared, folder, found }: Place,
): Promise<Certificate | undefined> {
  const { work, root } = prepared
  const last = lines.at(-1)
  const contents = await outputsIn(folder, prepared.reviewed.ceremony)
  if (last?.step !== 'done') {
    compareFailed(lines, { prepared, contents })
    const { code = '', left = '' } = last?.facts ?? {}
    found.push(`the ceremony failed with ${code}: ${left}`)
    return root
  }
  const made = work.read((file) => contents.get(file) ?? missing(file))
  const issuer = root ?? made.newRoot
  checkCertificates(work, made, issuer)
  compareDone(lines, { prepared, made, contents })
  found.push(
    `certificates: ${made.certificates.length + (made.newRoot === undefined ? 0 : 1)} linted again, verified by OpenSSL`,
    ...(made.bundle === undefined ? [] : ['bundle: what the file says, its signature verified by OpenSSL']),
    `files: ${lines.filter(({ step }) => step === 'wrote').length} outputs are those that were written`,
  )
  return issuer
}

/** What is there of the outputs. */
async function outputsIn(folder: string, { outputs }: Ceremony): Promise<ReadonlyMap<string, Uint8Array>> {
  const contents = new Map<string, Uint8Array>()
  for (const file of Object.values(outputs)) {
    const content = await readInput(folder, file)
    if (content !== undefined) contents.set(file, content)
  }
  return contents
}

function checkCertificates(work: Work, made: Made, issuer: Certificate | undefined): void {
  if (made.newRoot !== undefined && work.newRoot !== undefined)
    recheck(made.newRoot, work.newRoot.planOf(made.newRoot.spki), made.newRoot.spki)
  if (made.certificates.length !== work.certificates.length)
    throw refuse('the outputs hold another number of certificates than the ceremony file says')
  for (const [at, plan] of work.certificates.entries()) {
    const certificate = made.certificates[at]
    if (certificate === undefined || issuer === undefined) throw refuse('a certificate has no issuer')
    recheck(certificate, plan, issuer.spki)
  }
}

interface Trust {
  readonly prepared: Prepared
  readonly summary: TranscriptSummary
  readonly root: Certificate | undefined
}

/** What the verifier knew before: the root, the officers, the ceremony before. */
async function checkTrust(options: Verification, { prepared, summary, root }: Trust): Promise<void> {
  if (options.root !== undefined && (root === undefined || rootFingerprint(root) !== options.root))
    throw refuse('the ceremony is not of the root that was given')
  if (options.officers !== undefined) {
    if (root === undefined) throw refuse('the ceremony has no root')
    const { quorums } = openOfficers(await readFile(options.officers), root)
    if (!quorums.some((quorum) => quorumHex(quorum) === quorumHex(prepared.quorum)))
      throw refused('foreign', 'the officers of this ceremony are not among those that were given')
  }
  if (options.previous !== undefined) {
    const { head } = summarizeTranscript(verifyTranscript(await readText(options.previous)))
    if (head !== summary.previous) throw differs(0, 'does not follow the transcript that was given')
  }
}

interface Signed {
  readonly prepared: Prepared
  readonly summary: TranscriptSummary
  readonly approvers: readonly string[]
}

async function checkSignatures(file: string, { summary, prepared, approvers }: Signed): Promise<string> {
  const { quorum, reviewed } = prepared
  const needed = neededFor(reviewed.ceremony, quorum)
  const signers = requireSigned(await readText(`${file}${SIGNATURES}`), summary, {
    quorum,
    needed,
    approvers,
  })
  return `signatures: ${signers.join(', ')} signed the head (${needed} needed)`
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw refuse(`"${basename(file)}" cannot be read`, cause)
  }
}
