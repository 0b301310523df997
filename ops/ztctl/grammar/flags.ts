// Every flag of ztctl, once: a flag has one meaning and one arity whatever the verb, which is what lets it stand
// before the verb as well as after it. Parsing, help, completion and docs/ztctl.md are all read from this table.

export type FlagKind = 'switch' | 'text' | 'duration' | 'integer'

export interface FlagSpec {
  readonly kind: FlagKind
  readonly short?: string
  readonly placeholder?: string
  readonly choices?: readonly string[]
  readonly repeat?: true
  /** the environment variable that stands in when the flag is absent */
  readonly env?: string
  readonly complete?: 'node' | 'file' | 'directory'
  readonly summary: string
}

const TABLE = {
  all: { kind: 'switch', short: 'a', summary: 'also those that have ended' },
  cap: {
    kind: 'text',
    placeholder: 'CAP',
    repeat: true,
    summary: 'grant this capability instead of the default bundle; +CAP adds to the bundle; repeatable',
  },
  color: {
    kind: 'text',
    placeholder: 'WHEN',
    choices: ['auto', 'always', 'never'],
    summary: 'colour on stderr: auto, always or never',
  },
  context: {
    kind: 'text',
    placeholder: 'NAME',
    env: 'ZTMESH_CONTEXT',
    summary: 'the mesh to talk to, by name',
  },
  'context-file': {
    kind: 'text',
    placeholder: 'FILE',
    env: 'ZTMESH_CONTEXT_FILE',
    complete: 'file',
    summary: 'a JSON file that describes the mesh: hub, hubId and root',
  },
  'deny-list': {
    kind: 'text',
    placeholder: 'FILE',
    complete: 'file',
    summary: 'a saved deny list: whose rows are quarantined (default: deny-list.json beside the copy)',
  },
  detach: { kind: 'switch', short: 'd', summary: 'print the id and leave the process running' },
  env: { kind: 'text', short: 'e', placeholder: 'K=V', repeat: true, summary: 'set a variable; repeatable' },
  'env-file': {
    kind: 'text',
    placeholder: 'FILE',
    repeat: true,
    complete: 'file',
    summary: 'read K=V lines from a file; -e wins',
  },
  'exe-sha256': {
    kind: 'text',
    placeholder: 'HEX',
    summary: 'refuse unless the program file has this SHA-256',
  },
  file: {
    kind: 'text',
    placeholder: 'FILE',
    complete: 'file',
    summary: 'verify this copy of a log, offline: a database file or a saved .ztlog',
  },
  follow: { kind: 'switch', short: 'f', summary: 'keep printing output until the process ends' },
  fresh: { kind: 'switch', summary: 'begin a new ladder now, instead of going on where the last one ends' },
  grace: {
    kind: 'duration',
    placeholder: 'DURATION',
    summary: 'wait this long between the signal and KILL (default 10s)',
  },
  help: { kind: 'switch', short: 'h', summary: 'show this help' },
  hub: {
    kind: 'text',
    placeholder: 'URL',
    env: 'ZTMESH_HUB',
    summary: 'address of the hub, https://HOST:PORT',
  },
  'hub-id': {
    kind: 'text',
    placeholder: 'SPIFFE-ID',
    env: 'ZTMESH_HUB_ID',
    summary: 'the SPIFFE ID that the hub must prove',
  },
  'hub-log': {
    kind: 'text',
    placeholder: 'FILE',
    complete: 'file',
    summary: "a copy of the hub's log: it names the keys and anchors of nodes",
  },
  key: {
    kind: 'text',
    placeholder: 'FILE',
    repeat: true,
    complete: 'file',
    summary: 'sign with the key of this file; repeatable',
  },
  kill: { kind: 'switch', summary: 'also end the processes that it has running, on every node' },
  map: { kind: 'switch', summary: 'all bundles, as one SPIFFE bundle map' },
  'no-headers': { kind: 'switch', summary: 'leave the heading out of tables' },
  node: {
    kind: 'text',
    short: 'n',
    placeholder: 'NAME',
    repeat: true,
    env: 'ZTMESH_NODE',
    complete: 'node',
    summary: 'the node',
  },
  output: {
    kind: 'text',
    short: 'o',
    placeholder: 'FORMAT',
    choices: ['table', 'json'],
    env: 'ZTMESH_OUTPUT',
    summary: 'table or json',
  },
  quiet: {
    kind: 'switch',
    short: 'q',
    summary: 'print ids, names or the version only; `pcr-policy show` the signed note, `can-i` nothing',
  },
  reason: { kind: 'text', placeholder: 'TEXT', summary: 'why, for the record' },
  replace: { kind: 'switch', summary: 'the new machine may take the name over from the one that has it' },
  'request-timeout': {
    kind: 'duration',
    placeholder: 'DURATION',
    env: 'ZTMESH_REQUEST_TIMEOUT',
    summary: 'wait this long for each answer of the hub or a node (default 10s)',
  },
  'require-tpm': { kind: 'switch', summary: 'only a machine that proves itself by its TPM may use it' },
  'root-fingerprint': {
    kind: 'text',
    placeholder: 'HEX',
    env: 'ZTMESH_ROOT_FINGERPRINT',
    summary: "SHA-256 of the mesh's root certificate",
  },
  rungs: {
    kind: 'integer',
    placeholder: 'COUNT',
    summary: 'rungs to ask for, one a day: 1 to 30 (default 7)',
  },
  save: {
    kind: 'text',
    placeholder: 'DIR',
    complete: 'directory',
    summary: 'keep a copy of each log in a new folder, as NAME.ztlog',
  },
  since: {
    kind: 'text',
    placeholder: 'TIME',
    summary: 'data from then on is suspect: how long ago, or RFC 3339 (default: from now on)',
  },
  signal: {
    kind: 'text',
    short: 's',
    placeholder: 'SIGNAL',
    summary: 'send this signal instead of TERM: a name or a number',
  },
  'status-file': {
    kind: 'text',
    placeholder: 'FILE',
    complete: 'file',
    summary: 'write how it ended to a new file, as JSON',
  },
  stderr: { kind: 'switch', summary: 'only what the process wrote to stderr' },
  stdout: { kind: 'switch', summary: 'only what the process wrote to stdout' },
  tail: { kind: 'integer', placeholder: 'LINES', summary: 'begin with the last LINES lines' },
  timeout: {
    kind: 'duration',
    placeholder: 'DURATION',
    summary: 'the node ends the process after this long; `run` then exits 124',
  },
  vkey: {
    kind: 'text',
    placeholder: 'VKEY',
    repeat: true,
    summary: 'trust this verifier key for the log that it is named after; repeatable',
  },
  workdir: {
    kind: 'text',
    short: 'C',
    placeholder: 'DIR',
    summary: 'working directory of the process on the node',
  },
  yes: { kind: 'switch', short: 'y', summary: 'do not ask' },
} as const

export type FlagName = keyof typeof TABLE

export const FLAGS: ReadonlyMap<FlagName, FlagSpec> = new Map(
  Object.entries<FlagSpec>(TABLE) as [FlagName, FlagSpec][],
)

const BY_SHORT: ReadonlyMap<string, FlagName> = new Map(
  [...FLAGS].flatMap(([name, spec]) => (spec.short === undefined ? [] : [[spec.short, name]])),
)

/** The name behind `--long`, or undefined for a flag that does not exist. */
export function findLong(text: string): FlagName | undefined {
  return Object.hasOwn(TABLE, text) ? (text as FlagName) : undefined
}

/** The name behind `-x`, or undefined for a flag that does not exist. */
export function findShort(letter: string): FlagName | undefined {
  return BY_SHORT.get(letter)
}

/** The specification of a flag of the table. */
export function flagSpec(name: FlagName): FlagSpec {
  return TABLE[name]
}
