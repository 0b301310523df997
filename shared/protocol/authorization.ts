// RFC 9396 authorization details of the type `urn:ztmesh:process`: what a token grants, derived from the command field
// by field. Explicit fields repeat what the digest binds, so that policy and audit need no argv.
import { canonicalJson } from '#shared/encoding/canonical-json.ts'
import {
  array,
  integer,
  literal,
  object,
  oneOf,
  optional,
  string,
  type Parser,
} from '#shared/encoding/shape.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { ProcId } from '#shared/identity/names.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import {
  commandDigest,
  type Command,
  type CommandOp,
  type Executable,
  type ProcessLimits,
} from './command.ts'
import { bytes32Field, digestField, procIdField, spiffeIdField } from './fields.ts'
import { capabilitiesField } from './sandbox-capability.ts'

export const DETAIL_TYPE = 'urn:ztmesh:process'

export const ACTIONS = ['spawn', 'watch', 'kill', 'list', 'audit.export'] as const
export type Action = (typeof ACTIONS)[number]

export interface AuthorizationDetail {
  readonly type: typeof DETAIL_TYPE
  /** exactly one */
  readonly actions: readonly Action[]
  /** exactly one: the node */
  readonly locations: readonly SpiffeId[]
  /** the process, where the action has one */
  readonly identifier?: ProcId
  /** with `identifier`, for watch and kill: a reused id is another process */
  readonly started?: number
  readonly cmd_digest: string
  readonly exe?: Executable
  readonly sandbox?: { readonly profile: string }
  readonly caps?: readonly string[]
  readonly limits?: ProcessLimits
}

const ACTION_OF: Readonly<Record<CommandOp, Action>> = {
  'process.spawn': 'spawn',
  'process.watch': 'watch',
  'process.kill': 'kill',
  'process.list': 'list',
  'audit.export': 'audit.export',
}

export const parseDetail: Parser<AuthorizationDetail> = object({
  type: literal(DETAIL_TYPE),
  actions: array(oneOf(ACTIONS), { min: 1, max: 1 }),
  locations: array(spiffeIdField, { min: 1, max: 1 }),
  identifier: optional(procIdField),
  started: optional(integer({ min: 0 })),
  cmd_digest: digestField,
  exe: optional(object({ path: string({ min: 1, max: 4096 }), sha256: optional(bytes32Field) })),
  sandbox: optional(object({ profile: string({ min: 1, max: 64 }) })),
  caps: optional(capabilitiesField),
  limits: optional(object({ wall_s: optional(integer({ min: 1 })) })),
})

export function actionOf(cmd: Command): Action {
  return ACTION_OF[cmd.op]
}

/** The one detail that grants exactly this command. */
export function detailFor(cmd: Command): AuthorizationDetail {
  const common = {
    type: DETAIL_TYPE,
    actions: [actionOf(cmd)],
    locations: [cmd.node],
    cmd_digest: commandDigest(cmd),
  } as const
  switch (cmd.op) {
    case 'process.spawn':
      return {
        ...common,
        identifier: cmd.proc,
        exe: cmd.exe,
        sandbox: { profile: cmd.sandbox.profile },
        caps: cmd.sandbox.caps,
        limits: cmd.limits,
      }
    case 'process.watch':
    case 'process.kill':
      return { ...common, identifier: cmd.proc, started: cmd.started }
    case 'process.list':
    case 'audit.export':
      return common
  }
}

/**
 * Check 11: the detail grants this command and no other, in its digest and in every field that repeats it.
 * ZT-422-CMD naming the first field that differs.
 */
export function matchCommand(cmd: Command, granted: AuthorizationDetail): void {
  const expected = detailFor(cmd)
  for (const field of Object.keys({ ...expected, ...granted }) as (keyof AuthorizationDetail)[]) {
    if (textOf(expected[field]) !== textOf(granted[field])) {
      throw new ZtError('ZT-422-CMD', `field "${field}" of the grant is not that of the command`, {
        details: { field },
      })
    }
  }
}

function textOf(value: unknown): string {
  return value === undefined ? '' : canonicalJson(value)
}
