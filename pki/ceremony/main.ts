// The ceremony program, for the offline machine beside the token and for the officers. Never part of anything that has a
// network. docs/ceremony.md is its page.
import { readFile } from 'node:fs/promises'
import { parseArgs, type ParseArgsConfig } from 'node:util'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { systemClock } from '#shared/host/clock.ts'
import { runProgram } from '#shared/host/program.ts'
import { digestLines } from './briefing.ts'
import { hex } from './certify.ts'
import { refuse } from './fields.ts'
import { parseCeremony } from './file.ts'
import { approveFile, headHex, makeKey, signTranscript } from './officer.ts'
import { ScriptedOperator, type Operator } from './operator.ts'
import { runCeremony } from './run.ts'
import { thisMachine } from './surroundings.ts'
import { TerminalOperator } from './terminal.ts'
import { verifyCeremony } from './verify.ts'
import { wordsOf } from './words.ts'

const USAGE = `usage: ceremony key NEWFILE --name NAME [--plain]
       ceremony digest [FILE …]
       ceremony approve FILE --key KEYFILE --out APPROVAL
       ceremony run FILE [--local LOCAL] --approval APPROVAL …
       ceremony sign-transcript TRANSCRIPT --key KEYFILE
       ceremony verify TRANSCRIPT [--folder DIR] [--previous TRANSCRIPT] [--officers FILE] [--root FINGERPRINT]`

const text = { type: 'string' } as const
const flag = { type: 'boolean' } as const
const OPTIONS = {
  name: text,
  plain: flag,
  key: text,
  out: text,
  local: text,
  approval: { type: 'string', multiple: true },
  answers: text,
  folder: text,
  previous: text,
  officers: text,
  root: text,
} as const satisfies NonNullable<ParseArgsConfig['options']>

type Flags = ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values']

interface Verb {
  /** flags that it takes, besides those that it must have */
  readonly takes: readonly (keyof Flags)[]
  readonly needs: readonly (keyof Flags)[]
  /** how many words follow it; -1: any number */
  readonly words: number
  readonly run: (words: readonly string[], flags: Flags) => Promise<void>
}

const VERBS: ReadonlyMap<string, Verb> = new Map<string, Verb>([
  ['key', { takes: ['plain'], needs: ['name'], words: 1, run: key }],
  ['digest', { takes: [], needs: [], words: -1, run: digest }],
  ['approve', { takes: ['answers'], needs: ['key', 'out'], words: 1, run: approveVerb }],
  ['run', { takes: ['answers', 'local'], needs: ['approval'], words: 1, run }],
  ['sign-transcript', { takes: ['answers'], needs: ['key'], words: 1, run: sign }],
  ['verify', { takes: ['folder', 'previous', 'officers', 'root'], needs: [], words: 1, run: verify }],
])

async function main(args: readonly string[]): Promise<void> {
  const [name = '', ...rest] = args
  if (name === '--help' || name === 'help') return say(USAGE)
  const verb = VERBS.get(name)
  if (verb === undefined) throw usage()
  const { values, positionals } = parse(rest)
  const given = Object.keys(values) as (keyof Flags)[]
  if (given.some((option) => !verb.takes.includes(option) && !verb.needs.includes(option))) throw usage()
  if (verb.needs.some((option) => values[option] === undefined)) throw usage()
  if (verb.words >= 0 && positionals.length !== verb.words) throw usage()
  await verb.run(positionals, values)
}

async function key([file = '']: readonly string[], { name = '', plain = false }: Flags): Promise<void> {
  const operator = plain ? undefined : await TerminalOperator.open()
  try {
    const vkey = await makeKey(file, name, { operator })
    if (plain)
      note('this key has no passphrase: whoever has the file is the officer; for demonstrations only')
    say(vkey)
  } finally {
    operator?.close()
  }
}

/** Without a file: the program itself, as a ceremony file may name it. */
async function digest(files: readonly string[]): Promise<void> {
  if (files.length === 0) for (const line of digestLines('this program', await thisMachine.tool())) say(line)
  for (const file of files) {
    const content = await readFile(file).catch((cause: unknown) => {
      throw refuse(`file "${file}" cannot be read`, cause)
    })
    for (const line of digestLines(file, hex(content))) say(line)
    const canonical = canonicalOf(content)
    if (canonical !== undefined)
      for (const line of digestLines(`${file} as a ceremony file`, hex(canonical))) say(line)
  }
}

async function approveVerb([file = '']: readonly string[], flags: Flags): Promise<void> {
  await withOperator(flags, async (operator) => {
    const desk = { key: flags.key ?? '', operator, now: systemClock.now() }
    const sha256 = await approveFile(file, flags.out ?? '', desk)
    say(`approval ${flags.out}\nsha256 ${sha256}\nwords ${wordsOf(Buffer.from(sha256, 'hex')).join(' ')}`)
  })
}

async function run([file = '']: readonly string[], flags: Flags): Promise<void> {
  const approvals: string[] = []
  for (const path of flags.approval ?? [])
    approvals.push(await readFile(path, 'utf8').catch(unreadable(path)))
  await withOperator(flags, async (operator) => {
    const { transcript, head } = await runCeremony({
      file,
      ...(flags.local === undefined ? {} : { local: flags.local }),
      approvals,
      clock: systemClock,
      surroundings: thisMachine,
      operator,
    })
    say(
      `transcript ${transcript}\nhead ${head}\nwords ${wordsOf(Buffer.from(headHex(head), 'hex')).join(' ')}`,
    )
  })
}

async function sign([file = '']: readonly string[], flags: Flags): Promise<void> {
  await withOperator(flags, async (operator) => {
    const head = await signTranscript(file, { key: flags.key ?? '', operator, now: systemClock.now() })
    say(`signatures ${file}.sigs\nhead ${head}`)
  })
}

async function verify([file = '']: readonly string[], flags: Flags): Promise<void> {
  const { folder, previous, officers, root } = flags
  const { summary, found } = await verifyCeremony({
    transcript: file,
    ...(folder === undefined ? {} : { folder }),
    ...(previous === undefined ? {} : { previous }),
    ...(officers === undefined ? {} : { officers }),
    ...(root === undefined ? {} : { root }),
  })
  for (const line of found) say(line)
  if (root === undefined)
    note('without --root this holds for whoever made that root: compare the fingerprint with yours')
  say(`verified: ceremony "${summary.type}" of ${summary.trustDomain}, ${summary.outcome}`)
}

/** The terminal, or a file of answers where the ceremony allows one. */
async function withOperator(flags: Flags, action: (operator: Operator) => Promise<void>): Promise<void> {
  const operator =
    flags.answers === undefined
      ? await TerminalOperator.open()
      : await ScriptedOperator.read(flags.answers, note)
  try {
    await action(operator)
  } finally {
    operator.close()
  }
}

function canonicalOf(content: Uint8Array): Uint8Array | undefined {
  try {
    return parseCeremony(content).canonical
  } catch (error) {
    // Any other file has a digest too.
    if (isZtError(error, 'ZT-422-CEREMONY')) return undefined
    throw error
  }
}

function parse(args: readonly string[]): { values: Flags; positionals: string[] } {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true, strict: true })
  } catch (cause) {
    throw usage(cause)
  }
}

function usage(cause?: unknown): ZtError {
  const verbs = [...VERBS.keys()].join('|')
  return new ZtError('ZT-400-USAGE', `usage: ceremony ${verbs} …; "ceremony help" says more`, { cause })
}

function unreadable(path: string): (cause: unknown) => never {
  return (cause) => {
    throw refuse(`approval "${path}" cannot be read`, cause)
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

function note(line: string): void {
  process.stderr.write(`ceremony: ${line}\n`)
}

await runProgram({ name: 'ceremony', main })
