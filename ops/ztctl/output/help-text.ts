// Help as text: examples first, then usage, then flags, all out of the tables of the grammar.
import { CAPABILITIES } from '#shared/protocol/sandbox-capability.ts'
import { flagSpec, type FlagName } from '../grammar/flags.ts'
import { usageLine } from '../grammar/parse.ts'
import type { VerbSpec } from '../grammar/verb-spec.ts'
import { GLOBAL_FLAGS, VERBS } from '../grammar/verbs.ts'
import { renderTable } from './table.ts'

const GROUPS: readonly (readonly [string, readonly string[]])[] = [
  ['Processes', ['spawn', 'run', 'ps', 'logs', 'kill']],
  ['Nodes', ['node ls', 'node join-token', 'node revoke']],
  ['Access', ['login', 'logout', 'whoami', 'can-i', 'revoke', 'allow']],
  [
    'Trust',
    [
      'bundle show',
      'bundle import',
      'ladder status',
      'ladder request',
      'ladder import',
      'ladder usage',
      'ceremony anchor',
    ],
  ],
  ['Federation', ['federation ls', 'federation bundle']],
  ['Evidence', ['audit verify']],
  ['This machine', ['doctor', 'version', 'completion', 'help']],
]

const REMOTE_EXIT: readonly (readonly [string, string])[] = [
  ['0–123', "the remote program's own exit code"],
  ['124', '--timeout was hit'],
  ['125', 'ztctl, the hub or the node failed before the program ran'],
  ['126, 127', 'the program cannot be executed; does not exist on the node'],
  ['128+n', 'the program was ended by signal n'],
  ['255', 'the outcome is not known; or it is 0, but output was lost for good'],
]

/** The exit statuses of verbs that run no process of their own. */
export const EXIT_STATUSES: readonly (readonly [string, string])[] = [
  ['0', 'ok, or yes'],
  ['1', 'failed, or no'],
  ['2', 'the command line is wrong'],
  ['3', 'not found'],
  ['4', 'denied'],
  ['6', 'not logged in, or the session has expired'],
  ['7', 'the hub, NATS or the node does not answer'],
  ['8', 'some nodes answered and some did not'],
  ['9', 'evidence is not intact, or could not be checked'],
]

/** The exit statuses of `run` and `logs -f`. */
export const REMOTE_EXIT_STATUSES: readonly (readonly [string, string])[] = REMOTE_EXIT

/** The capabilities that nodes give, and what each gives. */
export const CAPABILITY_ROWS: readonly (readonly [string, string])[] = rowsOf(false)
/** Those that have a name only. */
export const RESERVED_CAPABILITY_ROWS: readonly (readonly [string, string])[] = rowsOf(true)

function rowsOf(wanted: boolean): readonly (readonly [string, string])[] {
  return CAPABILITIES.filter(({ reserved = false }) => reserved === wanted).map(({ name, gives }) => [
    name,
    gives,
  ])
}

/** What `ztctl` alone prints. */
export function renderOverview(): string {
  const groups = GROUPS.map(([title, names]) => {
    const rows = names.flatMap((name) => VERBS.filter((verb) => verb.name === name)).map(summaryRow)
    return `${title}:\n${indent(rows)}`
  })
  return [
    'ztctl runs programs on the nodes of a mesh, and proves what ran\n',
    `Examples:\n${exampleText([
      { what: 'log in, then run a program', line: 'ztctl login && ztctl run -n mac-mini -- uname -a' },
      { what: 'start one, follow it, end it', line: 'ztctl spawn -n mac-mini -- sleep 60' },
    ])}`,
    ...groups,
    `Flags of every verb:\n${flagText(GLOBAL_FLAGS)}`,
    '`ztctl help VERB` says more. Flags may stand before or after the verb; what stands after `--` runs as it is.\n',
  ].join('\n')
}

/** Help for one verb. */
export function renderVerbHelp(verb: VerbSpec): string {
  return [
    `${verb.name}: ${verb.summary}\n`,
    ...(verb.detail === undefined ? [] : [`${verb.detail}\n`]),
    `Examples:\n${exampleText(verb.examples)}`,
    `Usage:\n  ${usageLine(verb)}\n`,
    ...(verb.flags.length === 0 ? [] : [`Flags:\n${flagText(verb.flags)}`]),
    `Flags of every verb:\n${flagText(GLOBAL_FLAGS)}`,
    ...capabilityText(verb),
    ...exitText(verb),
  ].join('\n')
}

function capabilityText({ flags }: VerbSpec): readonly string[] {
  if (!flags.includes('cap')) return []
  const reserved = RESERVED_CAPABILITY_ROWS.map(([name]) => name).join(', ')
  return [
    `Capabilities:\n${indent(CAPABILITY_ROWS)}`,
    `Capabilities that no node of this version gives:\n  ${reserved}\n`,
  ]
}

function exitText(verb: VerbSpec): readonly string[] {
  const own = `Exit codes:\n${indent(EXIT_STATUSES)}`
  const remote = indent(REMOTE_EXIT)
  if (verb.remoteExit === 'never') return [own]
  return verb.remoteExit === 'always' ? [`Exit codes:\n${remote}`] : [own, `Exit codes with -f:\n${remote}`]
}

/** Help for a first word that needs a second one. */
export function renderGroupHelp(group: string): string {
  const members = VERBS.filter((verb) => verb.name.startsWith(`${group} `))
  return `${group}:\n${indent(members.map(summaryRow))}\n\`ztctl help ${group} …\` says more.\n`
}

/** One flag as help shows it: `-n, --node NAME`. */
export function flagUsage(name: FlagName): string {
  const { short, placeholder } = flagSpec(name)
  const letter = short === undefined ? '    ' : `-${short}, `
  return `${letter}--${name}${placeholder === undefined ? '' : ` ${placeholder}`}`
}

function summaryRow(verb: VerbSpec): readonly [string, string] {
  return [verb.name, verb.summary]
}

function exampleText(examples: VerbSpec['examples']): string {
  return examples.map(({ what, line }) => `  # ${what}\n  ${line}\n`).join('')
}

function flagText(names: readonly FlagName[]): string {
  return indent(names.map((name) => [flagUsage(name), flagSummary(name)]))
}

/** What a flag means, with the variable that stands in for it. */
export function flagSummary(name: FlagName): string {
  const { summary, env } = flagSpec(name)
  return env === undefined ? summary : `${summary} [${env}]`
}

function indent(rows: readonly (readonly string[])[]): string {
  const text = renderTable({ headings: ['', ''], rows, showHeadings: false })
  return text.replaceAll(/^/gm, '  ').trimEnd() + '\n'
}
