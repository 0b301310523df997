// What agent and keeper say to each other over the keeper's unix socket: JSON lines, closed schemas both ways. The
// socket's folder admits only this user, so both sides are the same person; strictness here is against faults.
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
import type { ErrorDetails } from '#shared/errors/error.ts'
import type { ProcId } from '#shared/identity/names.ts'
import { KILL_SIGNALS, type KillSignal } from '#shared/protocol/command.ts'
import { procIdField } from '#shared/protocol/fields.ts'
import type { RunAs } from '../sandbox/sandbox.ts'
import type { WorkspaceRef } from '../sandbox/workspace.ts'
import { procRecord, type ProcRecord } from './record.ts'

/** Both sides must have the same: a keeper outlives the agent that started it, also over an upgrade. */
export const KEEPER_PROTOCOL = 1
export const MAX_REQUEST_BYTES: number = 1024 * 1024
export const MAX_RESPONSE_BYTES: number = 16 * 1024 * 1024

export type Stream = 'stdout' | 'stderr'

export interface PrepareRequest {
  /** absolute, below /workspace as the sandbox names it, or a bare name to look up in `searchPath` */
  readonly path: string
  readonly searchPath: readonly string[]
  readonly runAs: RunAs
  readonly workspace: WorkspaceRef
}

export interface HashedFile {
  /** where the host has it, without links */
  readonly realpath: string
  /** base64url SHA-256 of the open file's bytes */
  readonly sha256: string
}

export interface Prepared extends HashedFile {
  /** holds the open file until `start`, `release`, 60 seconds, or the end of this connection */
  readonly handle: string
  /** for a script: the program that the kernel will run with it */
  readonly interpreter?: HashedFile
}

export interface StartSpec {
  /** with argv[0] */
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** as the sandbox names it; /workspace unless given */
  readonly cwd?: string
  readonly caps: readonly string[]
  /** milliseconds of wall time after which the tree is killed */
  readonly wallMs?: number
  /** further host folders that no process may see; the state folder and all workspaces are hidden anyway */
  readonly masks: readonly string[]
}

export interface StartRequest {
  readonly handle: string
  readonly proc: ProcId
  readonly spec: StartSpec
}

export interface Started {
  /** of the first process of the tree, as the host counts; the tree is gone when this process is */
  readonly pid: number
  /** clock ticks from the start of the machine to that of this process */
  readonly started: string
}

export interface KillRequest {
  readonly proc: ProcId
  readonly started: string
  readonly signal: KillSignal
  /** milliseconds from the signal to KILL; absent: the signal alone, answered at once */
  readonly graceMs?: number
}

export interface TreeMember {
  readonly pid: number
  readonly ppid: number
  readonly started: string
  /** at most 15 characters, chosen by the process itself */
  readonly comm: string
}

export interface Inspection {
  readonly record: ProcRecord
  readonly members: readonly TreeMember[]
}

export type KeeperEvent =
  | { readonly event: 'started'; readonly proc: ProcId; readonly pid: number; readonly started: string }
  | { readonly event: 'exited'; readonly record: ProcRecord }
  | { readonly event: 'output'; readonly proc: ProcId; readonly stream: Stream; readonly size: number }

export type KeeperRequest =
  | ({ readonly op: 'prepare' } & PrepareRequest)
  | ({ readonly op: 'start' } & StartRequest)
  | { readonly op: 'release'; readonly handle: string }
  | { readonly op: 'list'; readonly all: boolean }
  | { readonly op: 'inspect'; readonly proc: ProcId }
  | ({ readonly op: 'kill' } & KillRequest)
  | { readonly op: 'shutdown' }

export interface KeeperResults {
  readonly prepare: Prepared
  readonly start: Started
  readonly release: null
  readonly list: readonly ProcRecord[]
  readonly inspect: Inspection
  /** once the whole tree is gone */
  readonly kill: ProcRecord
  readonly shutdown: null
}

export interface KeeperFault {
  readonly code: string
  readonly message: string
  readonly details?: ErrorDetails
}

export type KeeperMessage =
  | { readonly type: 'hello'; readonly v: number; readonly pid: number; readonly boot: string }
  | { readonly type: 'result'; readonly id: number; readonly value: unknown }
  | { readonly type: 'fault'; readonly id: number; readonly error: KeeperFault }
  | { readonly type: 'event'; readonly event: KeeperEvent }

// oxlint-disable-next-line no-control-regex -- NUL is the very thing that is refused
const NO_NUL = /^[^\0]*$/
// oxlint-disable-next-line no-control-regex -- as above
const ABSOLUTE = /^\/[^\0]*$/
const LINUX_MAX_ID = 4_294_967_294

const path = string({ min: 1, max: 4096, pattern: ABSOLUTE })
const digest = string({ min: 43, max: 43, pattern: /^[A-Za-z0-9_-]+$/ })
const handle = string({ max: 22, pattern: /^[A-Za-z0-9_-]{22}$/ })
const ticks = string({ max: 20, pattern: /^(?:0|[1-9][0-9]{0,18})$/ })
const pid = integer({ min: 1, max: 2 ** 22 })
const runAs: Parser<RunAs> = object({
  uid: integer({ min: 0, max: LINUX_MAX_ID }),
  gid: integer({ min: 0, max: LINUX_MAX_ID }),
})
const workspace: Parser<WorkspaceRef> = object({ root: path, name: string({ min: 1, max: 63 }) })
const hashedFile: Parser<HashedFile> = object({ realpath: path, sha256: digest })
const requestId = integer({ min: 1 })

const startSpec: Parser<StartSpec> = object({
  argv: array(string({ max: 128 * 1024, pattern: NO_NUL }), { min: 1, max: 4096 }),
  env: record(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, string({ max: 128 * 1024, pattern: NO_NUL }), { max: 1024 }),
  cwd: optional(path),
  caps: array(string({ max: 1024 }), { max: 64 }),
  wallMs: optional(integer({ min: 1 })),
  masks: array(path, { max: 64 }),
})

const request: Parser<KeeperRequest> = union('op', {
  prepare: object({
    op: literal('prepare'),
    path: string({ min: 1, max: 4096, pattern: NO_NUL }),
    searchPath: array(path, { max: 64 }),
    runAs,
    workspace,
  }),
  start: object({ op: literal('start'), handle, proc: procIdField, spec: startSpec }),
  release: object({ op: literal('release'), handle }),
  list: object({ op: literal('list'), all: boolean }),
  inspect: object({ op: literal('inspect'), proc: procIdField }),
  kill: object({
    op: literal('kill'),
    proc: procIdField,
    started: ticks,
    signal: oneOf(KILL_SIGNALS),
    graceMs: optional(integer({ min: 0, max: 3_600_000 })),
  }),
  shutdown: object({ op: literal('shutdown') }),
})

const call = object({ id: requestId, request })

/** One line from an agent, or ZT-422-SCHEMA. */
export function parseCall(value: unknown): { readonly id: number; readonly request: KeeperRequest } {
  return call(value, '')
}

const event: Parser<KeeperEvent> = union('event', {
  started: object({ event: literal('started'), proc: procIdField, pid, started: ticks }),
  exited: object({ event: literal('exited'), record: procRecord }),
  output: object({
    event: literal('output'),
    proc: procIdField,
    stream: oneOf(['stdout', 'stderr']),
    size: integer({ min: 0 }),
  }),
})

const details: Parser<ErrorDetails> = record(
  /^[a-zA-Z_]{1,32}$/,
  (value, at) =>
    typeof value === 'number' ? integer({ min: 0 })(value, at) : string({ max: 512 })(value, at),
  { max: 16 },
)

const message: Parser<KeeperMessage> = union('type', {
  hello: object({ type: literal('hello'), v: integer({ min: 1 }), pid, boot: string({ max: 64 }) }),
  result: object({ type: literal('result'), id: requestId, value: (value: unknown) => value }),
  fault: object({
    type: literal('fault'),
    id: requestId,
    error: object({ code: string({ max: 64 }), message: string({ max: 1024 }), details: optional(details) }),
  }),
  event: object({ type: literal('event'), event }),
})

/** One line from a keeper, or ZT-422-SCHEMA. */
export function parseMessage(value: unknown): KeeperMessage {
  return message(value, '')
}

const member: Parser<TreeMember> = object({
  pid,
  ppid: integer({ min: 0 }),
  started: ticks,
  comm: string({ max: 64 }),
})

const RESULTS: { readonly [Op in keyof KeeperResults]: Parser<KeeperResults[Op]> } = {
  prepare: object({ handle, realpath: path, sha256: digest, interpreter: optional(hashedFile) }),
  start: object({ pid, started: ticks }),
  release: literal(null),
  list: array(procRecord, { max: 100_000 }),
  inspect: object({ record: procRecord, members: array(member, { max: 100_000 }) }),
  kill: procRecord,
  shutdown: literal(null),
}

/** The result of that operation, or ZT-422-SCHEMA. */
export function parseKeeperResult<Op extends keyof KeeperResults>(op: Op, value: unknown): KeeperResults[Op] {
  return RESULTS[op](value, 'result')
}
