// The lines that a ceremony of a given file writes, worked out anew, and a transcript held against them: whole if it came to
// its end, and up to where it stopped if it failed.
import type { Facts, TranscriptLine } from '#shared/protocol/ceremony-transcript.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { Certificate } from '#shared/x509/certificate.ts'
import { LintedBundle } from '../lint/bundle.ts'
import { bundleFacts, requireBundle } from './bundle.ts'
import { hex, signedFacts } from './certify.ts'
import { refuse } from './fields.ts'
import type { Ceremony } from './file.ts'
import { quorumFacts } from './history.ts'
import { signatureCount, stepsOf, touchesKeys } from './perform.ts'
import type { Prepared } from './prepare.ts'
import { whatIsLeft } from './transcript.ts'
import type { Made, Work } from './work.ts'

interface ExpectedLine {
  readonly step: string
  /** absent: what a line says of people or the machine */
  readonly facts?: Facts
}

interface Replayed {
  readonly prepared: Prepared
  /** the outputs that are there, by their names */
  readonly contents: ReadonlyMap<string, Uint8Array>
}

type Lines = readonly TranscriptLine[]

/** Throws ZT-422-CEREMONY naming the line unless `lines` are those of a ceremony that made `made` and came to its end. */
export function compareDone(lines: Lines, replayed: Replayed & { readonly made: Made }): void {
  const { prepared, made, contents } = replayed
  const outputs = [...prepared.work.outputs(made, notesOf(lines))].map(([file, content]) => {
    if (Buffer.compare(Buffer.from(content), contents.get(file) ?? missing(file)) !== 0)
      throw refuse(`output "${file}" is not what was signed`)
    return { step: 'wrote', facts: { file, sha256: hex(Buffer.from(content)) } }
  })
  const expected = [...linesBefore(lines, prepared, made), ...outputs, { step: 'done', facts: {} }]
  for (const [at, line] of expected.entries()) requireLine(lines[at], at, line)
  if (lines.length !== expected.length) throw differs(expected.length, 'is one too many')
}

/**
 * The same for a ceremony that failed. What it signed was never written out, so of certificates and bundles only that they
 * were is compared.
 */
export function compareFailed(lines: Lines, { prepared, contents }: Replayed): void {
  const expected = linesBefore(lines, prepared, undefined)
  const taken = lines.slice(0, -1)
  for (const [at, line] of taken.entries()) {
    const one = expected[at]
    if (one !== undefined) requireLine(line, at, one)
    else requireWritten(line, { taken, contents, ceremony: prepared.reviewed.ceremony })
  }
  const last = lines.at(-1)
  const left = whatIsLeft(taken.map(({ step }) => step))
  requireLine(last, taken.length, { step: 'failed', facts: { left } })
  if (!/^ZT-\d{3}-[A-Z0-9-]+$/.test(last?.facts['code'] ?? ''))
    throw differs(taken.length, 'says a "code" that is none')
}

export function missing(file: string): never {
  throw refuse(`output "${file}" is missing`)
}

export function differs(line: number, what: string): ZtError {
  return new ZtError('ZT-422-CEREMONY', `transcript line ${line} ${what}`, { details: { line } })
}

function requireLine(line: TranscriptLine | undefined, at: number, { step, facts }: ExpectedLine): void {
  if (line?.step !== step) throw differs(at, `is not "${step}"`)
  for (const [name, value] of Object.entries(facts ?? {}))
    if (line.facts[name] !== value)
      throw differs(at, `says another "${name}" than follows from the ceremony file`)
}

interface Written extends Pick<Replayed, 'contents'> {
  readonly taken: Lines
  readonly ceremony: Ceremony
}

/** One of the outputs, once, and what is there if it is there. */
function requireWritten(line: TranscriptLine, { taken, contents, ceremony }: Written): void {
  requireLine(line, line.seq, { step: 'wrote' })
  const { file = '', sha256 } = line.facts
  const { transcript, ...outputs } = ceremony.outputs
  const isFirst =
    taken.findIndex(({ step, facts }) => step === 'wrote' && facts['file'] === file) === line.seq
  if (file === transcript || !isFirst || !Object.values(outputs).includes(file))
    throw differs(line.seq, 'says another "file" than follows from the ceremony file')
  const content = contents.get(file)
  if (content !== undefined && hex(content) !== sha256)
    throw differs(line.seq, 'says another "sha256" than that of the output')
}

/** All lines up to the first output. Without `made` they say of what was signed only what follows from the file. */
function linesBefore(lines: Lines, prepared: Prepared, made: Made | undefined): ExpectedLine[] {
  const { reviewed, work, quorum } = prepared
  const { ceremony } = reviewed
  return [
    { step: 'ceremony' },
    { step: 'environment', facts: machineFacts(ceremony) },
    { step: 'quorum', facts: quorumFacts(quorum) },
    ...notesOf(lines).map(() => ({ step: 'approval' })),
    { step: 'present', facts: ceremony.demo ? {} : { scripted: 'false' } },
    ...(ceremony.type === 'officers' ? [{ step: 'new quorum', facts: quorumFacts(ceremony.quorum) }] : []),
    ...(touchesKeys(work) ? [{ step: 'opened key store', facts: {} }] : []),
    ...keyLines(lines, prepared, made),
  ]
}

function notesOf(lines: Lines): string[] {
  return lines.filter(({ step }) => step === 'approval').map(({ facts }) => facts['note'] ?? '')
}

/** What must be so of the machine: a demonstration may run anywhere that its process has no network. */
function machineFacts({ demo, tool }: Ceremony): Facts {
  const offline = { interfaces: 'loopback only', ...(demo ? {} : { machine: 'offline' }) }
  return tool === null ? offline : { ...offline, tool }
}

function keyLines(lines: Lines, { work, root }: Prepared, made: Made | undefined): ExpectedLine[] {
  const answers = new Map<string, string>([
    ['make-key', work.newRoot?.label ?? ''],
    ['sign', `sign ${signatureCount(work)}`],
    ['destroy-key', work.destroys?.label ?? ''],
    ['change-officers', 'change officers'],
  ])
  const confirmed = stepsOf(work).map((question) => ({
    step: 'confirmed',
    facts: { question, answer: answers.get(question) ?? '' },
  }))
  const { newRoot } = made ?? {}
  const key = work.newRoot === undefined ? [] : [keyLine(work.newRoot.label, newRoot)]
  const now = Date.parse(lines[0]?.facts['checkedAt'] ?? '')
  return [
    ...(key.length > 0 ? confirmed.slice(0, 1) : []),
    ...key,
    ...(key.length > 0 ? confirmed.slice(1) : confirmed),
    ...(work.newRoot === undefined ? [] : certificateLines('root', newRoot)),
    ...work.certificates.flatMap(({ what }, at) => certificateLines(what, made?.certificates[at])),
    ...bundleLines(made, { work, root: root ?? newRoot, now }),
    ...goneLines(work),
  ]
}

function keyLine(label: string, root: Certificate | undefined): ExpectedLine {
  return { step: 'made key', facts: { label, ...(root === undefined ? {} : { spki: hex(root.spki) }) } }
}

/** verify.ts has seen that there is a certificate for every plan. */
function certificateLines(what: string, certificate: Certificate | undefined): ExpectedLine[] {
  if (certificate === undefined)
    return [
      { step: 'linted', facts: { what } },
      { step: 'signed', facts: { what } },
    ]
  return [
    { step: 'linted', facts: { what, tbs: hex(certificate.tbs) } },
    { step: 'signed', facts: signedFacts(what, certificate) },
  ]
}

function bundleLines(
  made: Made | undefined,
  { work, root, now }: { readonly work: Work; readonly root: Certificate | undefined; readonly now: number },
): ExpectedLine[] {
  if (work.bundle === undefined) return []
  const bundle = work.bundle.of(made?.newRoot)
  if (made === undefined) return [{ step: 'signed bundle', facts: { sequence: String(bundle.sequence) } }]
  const { bundle: text } = made
  if (text === undefined || root === undefined) throw refuse('the bundle is missing')
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
