// The commands that a node takes, each a closed schema without defaults: what is signed, hashed, granted and run is
// one and the same object. What a node makes of it (paths, users, capabilities) is checked by the node.
import { sha256Text } from '#shared/encoding/digest.ts'
import { canonicalJson } from '#shared/encoding/canonical-json.ts'
import {
  array,
  boolean,
  integer,
  literal,
  object,
  oneOf,
  optional,
  record,
  string,
  union,
  type Parser,
} from '#shared/encoding/shape.ts'
import type { ProcId } from '#shared/identity/names.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import { bytes32Field, procIdField, spiffeIdField } from './fields.ts'
import { capabilitiesField } from './sandbox-capability.ts'

/** Where output goes: the caller's own stream and key, and how much may be under way before it acknowledges. */
export interface OutputRequest {
  readonly stream: string
  /** base64url X25519 */
  readonly key: string
  /** bytes */
  readonly window: number
}

export interface Executable {
  /** absolute, or a bare name that the node looks up in its own search path */
  readonly path: string
  /** base64url digest that the file must have */
  readonly sha256?: string
}

export interface SandboxRequest {
  readonly profile: 'default@1'
  readonly caps: readonly string[]
}

export interface ProcessLimits {
  /** seconds of wall time, after which the tree is killed */
  readonly wall_s?: number
}

export interface SpawnCommand {
  readonly v: 1
  readonly op: 'process.spawn'
  readonly node: SpiffeId
  readonly proc: ProcId
  readonly exe: Executable
  /** with argv[0] */
  readonly argv: readonly string[]
  readonly cwd?: string
  readonly env: Readonly<Record<string, string>>
  readonly sandbox: SandboxRequest
  readonly limits: ProcessLimits
  readonly out?: OutputRequest
}

export interface WatchCommand {
  readonly v: 1
  readonly op: 'process.watch'
  readonly node: SpiffeId
  readonly proc: ProcId
  /** as the spawn's receipt said: a process id with another start is another process */
  readonly started: number
  /** byte offsets to begin at */
  readonly from: { readonly stdout: number; readonly stderr: number }
  readonly follow: boolean
  readonly out: OutputRequest
}

export interface KillCommand {
  readonly v: 1
  readonly op: 'process.kill'
  readonly node: SpiffeId
  readonly proc: ProcId
  readonly started: number
  /** sent first; TERM unless given */
  readonly signal?: KillSignal
  /** milliseconds until KILL; absent: the signal alone, answered at once (a forwarded ^C ends nothing by force) */
  readonly grace_ms?: number
}

export interface ListCommand {
  readonly v: 1
  readonly op: 'process.list'
  readonly node: SpiffeId
  /** with those that have ended */
  readonly all: boolean
}

export interface ExportCommand {
  readonly v: 1
  readonly op: 'audit.export'
  readonly node: SpiffeId
  /** first row */
  readonly from: number
  readonly out: OutputRequest
}

export type Command = SpawnCommand | WatchCommand | KillCommand | ListCommand | ExportCommand
export type CommandOp = Command['op']

export const KILL_SIGNALS = ['TERM', 'INT', 'HUP', 'QUIT', 'USR1', 'USR2', 'KILL'] as const
export type KillSignal = (typeof KILL_SIGNALS)[number]

export const DEFAULT_WINDOW_BYTES: number = 1024 * 1024

// No text that reaches exec() may hold a NUL: the kernel would see a shorter one than was granted.
// oxlint-disable-next-line no-control-regex -- NUL is the very thing that is refused
const NO_NUL = /^[^\0]*$/
// oxlint-disable-next-line no-control-regex -- as above
const ABSOLUTE_OR_BARE = /^(?:\/[^\0]*|[^/\0]+)$/
// oxlint-disable-next-line no-control-regex -- as above
const ABSOLUTE = /^\/[^\0]*$/

const started = integer({ min: 0 })
const offset = integer({ min: 0 })

const outputRequest: Parser<OutputRequest> = object({
  stream: string({ min: 1, max: 32, pattern: /^[a-z0-9]+$/ }),
  key: bytes32Field,
  window: integer({ min: 64 * 1024, max: 16 * 1024 * 1024 }),
})

const spawn: Parser<SpawnCommand> = object({
  v: literal(1),
  op: literal('process.spawn'),
  node: spiffeIdField,
  proc: procIdField,
  exe: object({
    path: string({ min: 1, max: 4096, pattern: ABSOLUTE_OR_BARE }),
    sha256: optional(bytes32Field),
  }),
  argv: array(string({ max: 32 * 1024, pattern: NO_NUL }), { min: 1, max: 4096 }),
  cwd: optional(string({ min: 1, max: 4096, pattern: ABSOLUTE })),
  env: record(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, string({ max: 32 * 1024, pattern: NO_NUL }), { max: 256 }),
  sandbox: object({ profile: literal('default@1'), caps: capabilitiesField }),
  limits: object({ wall_s: optional(integer({ min: 1, max: 31_536_000 })) }),
  out: optional(outputRequest),
})

const watch: Parser<WatchCommand> = object({
  v: literal(1),
  op: literal('process.watch'),
  node: spiffeIdField,
  proc: procIdField,
  started,
  from: object({ stdout: offset, stderr: offset }),
  follow: boolean,
  out: outputRequest,
})

const kill: Parser<KillCommand> = object({
  v: literal(1),
  op: literal('process.kill'),
  node: spiffeIdField,
  proc: procIdField,
  started,
  signal: optional(oneOf(KILL_SIGNALS)),
  grace_ms: optional(integer({ min: 0, max: 60_000 })),
})

const list: Parser<ListCommand> = object({
  v: literal(1),
  op: literal('process.list'),
  node: spiffeIdField,
  all: boolean,
})

const auditExport: Parser<ExportCommand> = object({
  v: literal(1),
  op: literal('audit.export'),
  node: spiffeIdField,
  from: integer({ min: 0 }),
  out: outputRequest,
})

const command: Parser<Command> = union('op', {
  'process.spawn': spawn,
  'process.watch': watch,
  'process.kill': kill,
  'process.list': list,
  'audit.export': auditExport,
})

/** A command, or ZT-422-SCHEMA naming the field below `path`. */
export function parseCommand(value: unknown, path: string = 'cmd'): Command {
  return command(value, path)
}

/** `sha-256:` and the base64url digest of the command's canonical JSON: what a token binds. */
export function commandDigest(cmd: Command): string {
  return `sha-256:${sha256Text(canonicalJson(cmd))}`
}
