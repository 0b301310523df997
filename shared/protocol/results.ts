// What a node answers to each command, in the `result` of its signed receipt.
import { array, integer, object, oneOf, optional, string, type Parser } from '#shared/encoding/shape.ts'
import type { ProcId } from '#shared/identity/names.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import type { CommandOp, Executable } from './command.ts'
import { bytes32Field, millisField, procIdField, spiffeIdField } from './fields.ts'

/** The node's side of the key agreement for one stream of output. */
export interface OutputGrant {
  /** base64url X25519, made for this stream alone */
  readonly epk: string
}

/** How a process ended: an exit status, or the signal that ended it. */
export interface ExitStatus {
  readonly code?: number
  /** without `SIG` */
  readonly signal?: string
  /** the limit of the command that ended it, if one did */
  readonly limit?: 'wall_s'
}

export type ProcState = 'running' | 'exited' | 'lost'

export interface ProcEntry {
  readonly proc: ProcId
  readonly started: number
  readonly state: ProcState
  readonly owner: SpiffeId
  readonly exe: string
  /** milliseconds since 1970 */
  readonly began: number
  readonly ended?: number
  readonly exit?: ExitStatus
}

export interface SpawnResult {
  readonly proc: ProcId
  readonly started: number
  /** as the node resolved and hashed it */
  readonly exe: Executable
  readonly out?: OutputGrant
}

export interface WatchResult {
  readonly proc: ProcId
  readonly started: number
  readonly state: ProcState
  readonly out: OutputGrant
}

export interface KillResult {
  readonly proc: ProcId
  readonly started: number
  readonly state: ProcState
  readonly exit?: ExitStatus
}

export interface ListResult {
  readonly procs: readonly ProcEntry[]
}

export interface ExportResult {
  /** rows in the log when the export began */
  readonly size: number
  readonly out: OutputGrant
}

export interface CommandResults {
  readonly 'process.spawn': SpawnResult
  readonly 'process.watch': WatchResult
  readonly 'process.kill': KillResult
  readonly 'process.list': ListResult
  readonly 'audit.export': ExportResult
}

const started = integer({ min: 0 })
const state: Parser<ProcState> = oneOf(['running', 'exited', 'lost'])
const outputGrant: Parser<OutputGrant> = object({ epk: bytes32Field })
const path = string({ min: 1, max: 4096 })

/** Also the body of an exit frame. */
export const exitStatusField: Parser<ExitStatus> = object({
  code: optional(integer({ min: 0, max: 255 })),
  signal: optional(string({ max: 16, pattern: /^[A-Z0-9+]+$/ })),
  limit: optional(oneOf(['wall_s'])),
})

const procEntry: Parser<ProcEntry> = object({
  proc: procIdField,
  started,
  state,
  owner: spiffeIdField,
  exe: path,
  began: millisField,
  ended: optional(millisField),
  exit: optional(exitStatusField),
})

const RESULTS: { readonly [Op in CommandOp]: Parser<CommandResults[Op]> } = {
  'process.spawn': object({
    proc: procIdField,
    started,
    exe: object({ path, sha256: optional(bytes32Field) }),
    out: optional(outputGrant),
  }),
  'process.watch': object({ proc: procIdField, started, state, out: outputGrant }),
  'process.kill': object({ proc: procIdField, started, state, exit: optional(exitStatusField) }),
  'process.list': object({ procs: array(procEntry, { max: 1000 }) }),
  'audit.export': object({ size: integer({ min: 0 }), out: outputGrant }),
}

/** The result of a command of that kind, or ZT-422-SCHEMA. */
export function parseResult<Op extends CommandOp>(op: Op, value: unknown): CommandResults[Op] {
  return RESULTS[op](value, 'result')
}
