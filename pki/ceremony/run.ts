// One ceremony from its file to its outputs. Nothing is created before everything that can be checked was checked, and
// a failure leaves a transcript that says how far it came and what that means.
import { join } from 'node:path'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import { neededFor, requireQuorum, type Approval } from './approval.ts'
import { hex } from './certify.ts'
import { describe, digestLines } from './briefing.ts'
import { day } from './describe.ts'
import { refuse } from './fields.ts'
import { requireAbsent } from './folder.ts'
import { openingFacts, quorumFacts } from './history.ts'
import { describeKeyStore, openKeyStore, readLocal, type KeyStoreLocation } from './local.ts'
import { confirm, unconfirmed, type Operator } from './operator.ts'
import { perform, stepsOf, touchesKeys } from './perform.ts'
import { prepare, readCeremonyFile, requireWindow, type Prepared } from './prepare.ts'
import { requireOffline, type Interfaces, type Surroundings } from './surroundings.ts'
import { Transcript, whatIsLeft } from './transcript.ts'
import { wordsOf } from './words.ts'

export interface CeremonyRun {
  /** the ceremony file; outputs are written beside it */
  readonly file: string
  /** the local file: see local.ts; not needed where no key is touched */
  readonly local?: string
  /** notes of officers: see approval.ts */
  readonly approvals: readonly string[]
  readonly clock: Clock
  readonly surroundings: Surroundings
  readonly operator: Operator
}

export interface CeremonyResult {
  readonly transcript: string
  /** hash of the transcript's last line: what officers sign */
  readonly head: string
}

/** How many words of a digest are typed; all of them are read aloud. */
const TYPED_WORDS = 4
const MIN_PRESENT = 2
const MAX_PRESENT = 32
const MAX_NAME = 64

interface Checked {
  readonly prepared: Prepared
  readonly approvals: readonly Approval[]
  readonly location: KeyStoreLocation | undefined
  readonly tool: string
  readonly present: string
  /** as it was found when all had been said */
  readonly network: Interfaces
  readonly now: number
}

/**
 * Runs the ceremony. Throws ZT-412-ONLINE, ZT-422-CEREMONY, ZT-400-CONFIG, ZT-403-QUORUM, ZT-403-UNCONFIRMED, ZT-408-*,
 * ZT-409-EXISTS and ZT-412-RETIRE before anything is created or signed, and what perform.ts throws after that.
 */
export async function runCeremony(run: CeremonyRun): Promise<CeremonyResult> {
  const checked = await check(run)
  const { ceremony, folder } = checked.prepared.reviewed
  const file = join(folder, ceremony.outputs.transcript)
  const tell = (line: string): void => run.operator.tell(`  ${line}`)
  const transcript = await Transcript.create({ file, clock: run.clock, tell, from: checked.now })
  try {
    await record(checked, run, transcript)
    await perform(deskOf(checked, run, transcript), async () => {
      // People may have read and typed for an hour since it was looked at.
      await requireOffline(run.surroundings, ceremony.demo)
      return openKeyStore(requireLocation(checked.location))
    })
    await transcript.write('done')
    return { transcript: file, head: transcript.head }
  } catch (error) {
    const code = isZtError(error) ? error.code : 'ZT-500-INTERNAL'
    await transcript.write('failed', { code, left: whatIsLeft(transcript.steps) })
    throw error
  } finally {
    await transcript.close()
  }
}

/** All that can be known before anything is touched, and the words of those who are there. */
async function check(run: CeremonyRun): Promise<Checked> {
  const reviewed = await readCeremonyFile(run.file)
  const { ceremony, folder } = reviewed
  const now = run.clock.now()
  await requireOffline(run.surroundings, ceremony.demo)
  if (!run.operator.present && !ceremony.demo)
    throw unconfirmed('only a demonstration may be answered from a file')
  const tool = await run.surroundings.tool()
  if (ceremony.tool !== null && ceremony.tool !== tool)
    throw refuse('field "tool" is not the digest of this program')
  requireWindow(ceremony, now)
  const location = run.local === undefined ? undefined : await readLocal(run.local)
  await requireAbsent(folder, Object.values(ceremony.outputs))
  const prepared = await prepare(reviewed, now)
  const { quorum, settled, work } = prepared
  const approvals = requireQuorum(reviewed, run.approvals, { quorum, settled, now })
  if (touchesKeys(work)) requireLocation(location)
  run.operator.expect(['words', 'present', ...stepsOf(work)])
  const present = await brief({ prepared, approvals, tool }, run.operator)
  const network = await requireOffline(run.surroundings, ceremony.demo)
  return { prepared, approvals, location, tool, present, network, now }
}

interface Briefing {
  readonly prepared: Prepared
  readonly approvals: readonly Approval[]
  readonly tool: string
}

/** Shows what is about to happen, has the digest typed as it was read aloud, and asks who is there. */
async function brief({ prepared, approvals, tool }: Briefing, operator: Operator): Promise<string> {
  const { reviewed, quorum } = prepared
  for (const line of describe(prepared)) operator.tell(line)
  const names = approvals.map(({ officer, at }) => `${officer} (${day(at)})`)
  operator.tell(`approved by ${names.join(', ')}: ${neededFor(reviewed.ceremony, quorum)} were needed`)
  for (const line of digestLines('this program', tool)) operator.tell(line)
  const words = wordsOf(Buffer.from(hex(reviewed.canonical), 'hex'))
  const text = `Read the words of the ceremony file aloud. To go on, type the first ${TYPED_WORDS} of them:`
  await confirm(operator, { id: 'words', text }, words.slice(0, TYPED_WORDS).join(' '))
  const people = await operator.ask({
    id: 'present',
    text: 'Who is present? Names, with commas between them:',
  })
  return presentNames(people)
}

function presentNames(text: string): string {
  const names = text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
  const isCounted = names.length >= MIN_PRESENT && names.length <= MAX_PRESENT
  if (!isCounted || names.some((name) => name.length > MAX_NAME || /\p{Cc}/u.test(name)))
    throw unconfirmed(`a ceremony is held by ${MIN_PRESENT} to ${MAX_PRESENT} people, each named`)
  return names.join(', ')
}

function requireLocation(location: KeyStoreLocation | undefined): KeyStoreLocation {
  if (location === undefined)
    throw new ZtError('ZT-400-USAGE', 'this ceremony touches a key: say where it is with --local')
  return location
}

/** The head of the transcript: which ceremony, on what machine, by whose leave, and who was there. */
async function record(checked: Checked, run: CeremonyRun, transcript: Transcript): Promise<void> {
  const { prepared, approvals, location, tool, present, network, now } = checked
  const { reviewed, quorum, before } = prepared
  const { ceremony, canonical, name } = reviewed
  await transcript.write('ceremony', {
    ...openingFacts(ceremony, before),
    file: name,
    sha256: hex(canonical),
    checkedAt: new Date(now).toISOString(),
  })
  const keystore = location === undefined ? {} : describeKeyStore(location)
  await transcript.write('environment', {
    tool,
    ...run.surroundings.facts(),
    interfaces: network.process.join(' ') || 'loopback only',
    machine: network.machine.join(' ') || 'offline',
    ...keystore,
  })
  await transcript.write('quorum', quorumFacts(quorum))
  for (const { officer, at, note } of approvals)
    await transcript.write('approval', { officer, approvedAt: day(at), note })
  await transcript.write('present', { names: present, scripted: String(!run.operator.present) })
  if (ceremony.type === 'officers') await transcript.write('new quorum', quorumFacts(ceremony.quorum))
}

function deskOf(
  { prepared, approvals, now }: Checked,
  { operator }: CeremonyRun,
  transcript: Transcript,
): Parameters<typeof perform>[0] {
  return { prepared, approvals: approvals.map(({ note }) => note), transcript, operator, now }
}
