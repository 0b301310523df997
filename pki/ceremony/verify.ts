// Goes over a ceremony again with public things alone: its transcript, its file, its inputs and outputs. Every line but
// those about people and the machine follows from the file, so every line is worked out anew and compared.
import { readFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import {
  summarizeTranscript,
  verifyTranscript,
  type Facts,
  type TranscriptLine,
  type TranscriptSummary,
} from '#shared/protocol/ceremony-transcript.ts'
import { ZtError } from '#shared/errors/error.ts'
import { rootFingerprint } from '#shared/x509/bundle.ts'
import type { Certificate } from '#shared/x509/certificate.ts'
import { LintedBundle } from '../lint/bundle.ts'
import { neededFor, refused, requireQuorum } from './approval.ts'
import { bundleFacts, requireBundle } from './bundle.ts'
import { hex, recheck, signedFacts } from './certify.ts'
import { refuse } from './fields.ts'
import type { Ceremony } from './file.ts'
import { openingFacts, quorumFacts, quorumHex } from './history.ts'
import { readInput } from './inputs.ts'
import { openOfficers } from './officers-file.ts'
import { stepsOf, touchesKeys } from './perform.ts'
import { prepare, readCeremonyFile, type Prepared } from './prepare.ts'
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
  const prepared = await prepare(reviewed, Date.parse(facts['checkedAt'] ?? ''))
  for (const [name, value] of Object.entries(openingFacts(ceremony, prepared.before)))
    if (facts[name] !== value) throw differs(0, `says another "${name}" than the ceremony file`)
  return prepared
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
  if (last?.step !== 'done') {
    const { code = '', left = '' } = last?.facts ?? {}
    found.push(`the ceremony failed with ${code}: ${left}`)
    return root
  }
  const contents = new Map<string, Uint8Array>()
  for (const file of Object.values(prepared.reviewed.ceremony.outputs)) {
    const content = await readInput(folder, file)
    if (content !== undefined) contents.set(file, content)
  }
  const made = work.read((file) => contents.get(file) ?? missing(file))
  const issuer = root ?? made.newRoot
  checkCertificates(work, made, issuer)
  compare(lines, expectedLines({ lines, prepared, made, contents }))
  found.push(
    `certificates: ${made.certificates.length + (made.newRoot === undefined ? 0 : 1)} linted again, verified by OpenSSL`,
    ...(made.bundle === undefined ? [] : ['bundle: what the file says, its signature verified by OpenSSL']),
    `files: ${lines.filter(({ step }) => step === 'wrote').length} outputs are those that were written`,
  )
  return issuer
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

interface ExpectedLine {
  readonly step: string
  /** absent: what a line says of people or the machine */
  readonly facts?: Facts
}

interface Replayed {
  readonly lines: readonly TranscriptLine[]
  readonly prepared: Prepared
  readonly made: Made
  readonly contents: ReadonlyMap<string, Uint8Array>
}

/** The lines that a ceremony of this file writes when it comes to its end. */
function expectedLines(replayed: Replayed): ExpectedLine[] {
  const { lines, prepared, made, contents } = replayed
  const { reviewed, work, quorum } = prepared
  const notes = lines.filter(({ step }) => step === 'approval').map(({ facts }) => facts['note'] ?? '')
  const { ceremony } = reviewed
  const outputs = [...work.outputs(made, notes)].map(([file, content]) => {
    if (Buffer.compare(Buffer.from(content), contents.get(file) ?? missing(file)) !== 0)
      throw refuse(`output "${file}" is not what was signed`)
    return { step: 'wrote', facts: { file, sha256: hex(Buffer.from(content)) } }
  })
  return [
    { step: 'ceremony' },
    { step: 'environment', facts: machineFacts(ceremony) },
    { step: 'quorum', facts: quorumFacts(quorum) },
    ...notes.map(() => ({ step: 'approval' })),
    { step: 'present', facts: ceremony.demo ? {} : { scripted: 'false' } },
    ...(ceremony.type === 'officers' ? [{ step: 'new quorum', facts: quorumFacts(ceremony.quorum) }] : []),
    ...(touchesKeys(work) ? [{ step: 'opened key store', facts: {} }] : []),
    ...keyLines(replayed),
    ...outputs,
    { step: 'done', facts: {} },
  ]
}

/** What must be so of the machine: a demonstration may run anywhere that its process has no network. */
function machineFacts({ demo, tool }: Ceremony): Facts {
  const offline = { interfaces: 'loopback only', ...(demo ? {} : { machine: 'offline' }) }
  return tool === null ? offline : { ...offline, tool }
}

function keyLines({ lines, prepared, made }: Replayed): ExpectedLine[] {
  const { work, root } = prepared
  const answers = new Map<string, string>([
    ['make-key', work.newRoot?.label ?? ''],
    ['sign', `sign ${signaturesOf(made)}`],
    ['destroy-key', work.destroys?.label ?? ''],
    ['change-officers', 'change officers'],
  ])
  const confirmed = stepsOf(work).map((question) => ({
    step: 'confirmed',
    facts: { question, answer: answers.get(question) ?? '' },
  }))
  const { newRoot } = made
  const key =
    newRoot === undefined || work.newRoot === undefined
      ? []
      : [{ step: 'made key', facts: { label: work.newRoot.label, spki: hex(newRoot.spki) } }]
  const now = Date.parse(lines[0]?.facts['checkedAt'] ?? '')
  return [
    ...(key.length > 0 ? confirmed.slice(0, 1) : []),
    ...key,
    ...(key.length > 0 ? confirmed.slice(1) : confirmed),
    ...(newRoot === undefined ? [] : certificateLines('root', newRoot)),
    ...work.certificates.flatMap(({ what }, at) => certificateLines(what, made.certificates[at])),
    ...bundleLines(made, { work, root: root ?? newRoot, now }),
    ...goneLines(work),
  ]
}

function certificateLines(what: string, certificate: Certificate | undefined): ExpectedLine[] {
  if (certificate === undefined) throw refuse(`certificate "${what}" is missing`)
  return [
    { step: 'linted', facts: { what, tbs: hex(certificate.tbs) } },
    { step: 'signed', facts: signedFacts(what, certificate) },
  ]
}

function bundleLines(
  { bundle: text, newRoot }: Made,
  { work, root, now }: { readonly work: Work; readonly root: Certificate | undefined; readonly now: number },
): ExpectedLine[] {
  if (text === undefined || work.bundle === undefined || root === undefined) return []
  const bundle = work.bundle.of(newRoot)
  LintedBundle.check(bundle, { held: work.bundle.held, now })
  requireBundle(text, { bundle, root, now })
  return [{ step: 'signed bundle', facts: bundleFacts(text, bundle, root) }]
}

function goneLines({ destroys }: Work): ExpectedLine[] {
  if (destroys === undefined) return []
  const { label, spki } = destroys
  return [
    { step: 'destroyed key', facts: { label, spki } },
    { step: 'key is gone', facts: { label } },
  ]
}

function signaturesOf({ certificates, newRoot, bundle }: Made): number {
  return certificates.length + (newRoot === undefined ? 0 : 1) + (bundle === undefined ? 0 : 1)
}

function compare(lines: readonly TranscriptLine[], expected: readonly ExpectedLine[]): void {
  for (const [at, { step, facts }] of expected.entries()) {
    const line = lines[at]
    if (line?.step !== step) throw differs(at, `is not "${step}"`)
    for (const [name, value] of Object.entries(facts ?? {}))
      if (line.facts[name] !== value)
        throw differs(at, `says another "${name}" than follows from the ceremony file`)
  }
  if (lines.length !== expected.length) throw differs(expected.length, 'is one too many')
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

function missing(file: string): never {
  throw refuse(`output "${file}" is missing`)
}

function differs(line: number, what: string): ZtError {
  return new ZtError('ZT-422-CEREMONY', `transcript line ${line} ${what}`, { details: { line } })
}
