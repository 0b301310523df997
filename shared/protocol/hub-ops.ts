// The hub's operations over NATS: what each is asked with and what it answers. Who may ask is the hub's policy.
import {
  array,
  boolean,
  integer,
  literal,
  nullable,
  object,
  oneOf,
  optional,
  string,
  union,
  type Parser,
} from '#shared/encoding/shape.ts'
import type { NodeName, ProcId } from '#shared/identity/names.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import { parseAnchorRequest, parseAnchorResponse, type AnchorRequest, type AnchorResponse } from './anchor.ts'
import { parseCommand, type Command } from './command.ts'
import {
  parseExchangeRequest,
  parseExchangeResponse,
  type ExchangeRequest,
  type ExchangeResponse,
} from './exchange.ts'
import {
  parseBundlesRequest,
  parseBundlesResult,
  parseRelationStatus,
  type BundlesRequest,
  type BundlesResult,
  type RelationStatus,
} from './federation.ts'
import {
  base64Field,
  bytes32Field,
  compactField,
  lineField,
  millisField,
  nodeNameField,
  noteField,
  secondsField,
  spiffeIdField,
  statementField,
  uuidField,
} from './fields.ts'
import {
  parseTaskEndedParams,
  parseTaskJwtParams,
  parseTaskJwtResult,
  parseTaskSvidParams,
  parseTaskSvidResult,
  type TaskJwtParams,
  type TaskJwtResult,
  type TaskSvidParams,
  type TaskSvidResult,
} from './task-ops.ts'
import {
  ATTESTATION_PARAMS,
  ATTESTATION_RESULTS,
  type AttestationParams,
  type AttestationResults,
} from './attestation-ops.ts'
import { NODE_STATES, type NodeState } from './node-inspection.ts'
import { TRUST_PARAMS, TRUST_RESULTS, type TrustParams, type TrustResults } from './trust-ops.ts'

export const HUB_OPS = [
  'hello',
  'enc-key',
  'token',
  'node.list',
  'node.join-token',
  'node.inspect',
  'node.revoke',
  'revoke',
  'allow',
  'can-i',
  'log',
  'deny',
  'bundles',
  'federation.list',
  'anchor',
  'task.svid',
  'task.jwt',
  'task.ended',
  'bundle.show',
  'bundle.import',
  'ladder.status',
  'ladder.request',
  'ladder.import',
  'ladder.usage',
  'ceremony.anchor',
  'pcr-policy.apply',
  'pcr-policy.show',
] as const

export type HubOp = (typeof HUB_OPS)[number]

type Empty = Readonly<Record<never, never>>

export interface NodeEntry {
  readonly name: NodeName
  readonly id: SpiffeId
  readonly state: NodeState
  /** level of assurance: 0 before joining, 1 join token, 2 TPM */
  readonly lvl: number
  /** where the key of its newest SVID is; null before joining */
  readonly svidKey: 'soft' | 'tpm' | null
  /** UTC, milliseconds; null before the first time */
  readonly joined: number | null
  readonly seen: number | null
  readonly anchored: number | null
}

/**
 * Its newest checkpoint, one file of the tiled form by its path (C2SP tlog-tiles), or entries from a row on: as many as
 * one message carries, at least one, framed as in an entry bundle. A whole bundle of large rows would not fit.
 */
export type LogRequest =
  | { readonly kind: 'checkpoint' }
  | { readonly kind: 'tile'; readonly path: string }
  | { readonly kind: 'entries'; readonly from: number }

export type LogResult =
  | { readonly kind: 'checkpoint'; readonly note: string }
  | { readonly kind: 'tile' | 'entries'; readonly data: string }

/** An identity with all its certificates, or one certificate by the base64url SHA-256 of its DER. */
export type DenyTarget = { readonly id: SpiffeId } | { readonly thumbprint: string }

export interface Grounds {
  readonly reason: string
  /** seconds since 1970: data from then on is suspect; from the revocation on unless given */
  readonly since?: number
}

export interface HubParams extends TrustParams, AttestationParams {
  readonly hello: { readonly enc_key: string }
  readonly 'enc-key': { readonly enc_key: string }
  readonly token: ExchangeRequest
  readonly 'node.list': Empty
  /** `replace`: the name may be taken over from the machine that has it; `require_tpm`: by a machine with a TPM alone */
  readonly 'node.join-token': {
    readonly node: NodeName
    readonly replace?: boolean
    readonly require_tpm?: boolean
  }
  readonly 'node.revoke': { readonly node: NodeName } & Grounds
  readonly revoke: DenyTarget & Grounds
  /** lifts a revocation; a node then needs a new join token */
  readonly allow: DenyTarget
  readonly 'can-i': { readonly cmd: Command }
  readonly log: LogRequest
  readonly deny: Empty
  readonly bundles: BundlesRequest
  readonly 'federation.list': Empty
  readonly anchor: AnchorRequest
  readonly 'task.svid': TaskSvidParams
  readonly 'task.jwt': TaskJwtParams
  readonly 'task.ended': { readonly proc: ProcId }
}

export interface HubResults extends TrustResults, AttestationResults {
  readonly hello: { readonly hub_key: string; readonly deny: string }
  readonly 'enc-key': { readonly kid: string }
  readonly token: ExchangeResponse
  readonly 'node.list': { readonly nodes: readonly NodeEntry[] }
  /** the join string is a secret: printed once, never logged */
  readonly 'node.join-token': { readonly join: string; readonly expires: number }
  /** version of the deny list that holds the revocation */
  readonly 'node.revoke': { readonly ver: number }
  /** `id`: whom it is about, also where a certificate was named */
  /** `live`: certificates that the identity had; none, where a name was mistyped */
  readonly revoke: { readonly ver: number; readonly id: SpiffeId; readonly live: number }
  readonly allow: { readonly ver: number; readonly id: SpiffeId }
  readonly 'can-i': {
    readonly allowed: boolean
    readonly reasons: readonly string[]
    readonly decision: string
  }
  readonly log: LogResult
  readonly deny: { readonly deny: string }
  readonly bundles: BundlesResult
  readonly 'federation.list': { readonly relations: readonly RelationStatus[] }
  readonly anchor: AnchorResponse
  readonly 'task.svid': TaskSvidResult
  readonly 'task.jwt': TaskJwtResult
  readonly 'task.ended': Empty
}

const empty: Parser<Empty> = object({})
const encKeyParams = object({ enc_key: compactField })
const version = object({ ver: integer({ min: 0 }) })
const allowed = object({ ver: integer({ min: 0 }), id: spiffeIdField })
const revoked = object({ ver: integer({ min: 0 }), id: spiffeIdField, live: integer({ min: 0 }) })
const grounds = { reason: lineField, since: optional(secondsField) }

function byTarget<A, B>(byId: Parser<A>, byThumbprint: Parser<B>): Parser<A | B> {
  return (value, path) => {
    const named = typeof value === 'object' && value !== null && Object.hasOwn(value, 'thumbprint')
    return named ? byThumbprint(value, path) : byId(value, path)
  }
}

const PARAMS: { readonly [Op in HubOp]: Parser<HubParams[Op]> } = {
  ...TRUST_PARAMS,
  ...ATTESTATION_PARAMS,
  hello: encKeyParams,
  'enc-key': encKeyParams,
  token: parseExchangeRequest,
  'node.list': empty,
  'node.join-token': object({
    node: nodeNameField,
    replace: optional(boolean),
    require_tpm: optional(boolean),
  }),
  'node.revoke': object({ node: nodeNameField, ...grounds }),
  revoke: byTarget(
    object({ id: spiffeIdField, ...grounds }),
    object({ thumbprint: bytes32Field, ...grounds }),
  ),
  allow: byTarget(object({ id: spiffeIdField }), object({ thumbprint: bytes32Field })),
  'can-i': object({ cmd: parseCommand }),
  log: union('kind', {
    checkpoint: object({ kind: literal('checkpoint') }),
    // C2SP tlog-tiles: tile/<L|entries>/<N>[.p/<W>], N in groups of three digits.
    tile: object({
      kind: literal('tile'),
      path: string({
        max: 64,
        pattern: /^tile\/(?:entries|[0-9]{1,2})\/(?:x[0-9]{3}\/)*[0-9]{3}(?:\.p\/[0-9]{1,3})?$/,
      }),
    }),
    entries: object({ kind: literal('entries'), from: integer({ min: 0 }) }),
  }),
  deny: empty,
  bundles: parseBundlesRequest,
  'federation.list': empty,
  anchor: parseAnchorRequest,
  'task.svid': parseTaskSvidParams,
  'task.jwt': parseTaskJwtParams,
  'task.ended': parseTaskEndedParams,
}

const moment = nullable(millisField)

const nodeEntry: Parser<NodeEntry> = object({
  name: nodeNameField,
  id: spiffeIdField,
  state: oneOf(NODE_STATES),
  lvl: integer({ min: 0, max: 3 }),
  svidKey: nullable(oneOf(['soft', 'tpm'])),
  joined: moment,
  seen: moment,
  anchored: moment,
})

const RESULTS: { readonly [Op in HubOp]: Parser<HubResults[Op]> } = {
  ...TRUST_RESULTS,
  ...ATTESTATION_RESULTS,
  hello: object({ hub_key: compactField, deny: statementField }),
  'enc-key': object({ kid: string({ max: 64, pattern: /^[A-Za-z0-9._-]+$/ }) }),
  token: parseExchangeResponse,
  'node.list': object({ nodes: array(nodeEntry, { max: 4096 }) }),
  'node.join-token': object({
    join: string({ max: 4096, pattern: /^ztjoin_[A-Za-z0-9_-]+$/ }),
    expires: millisField,
  }),
  'node.revoke': version,
  revoke: revoked,
  allow: allowed,
  'can-i': object({ allowed: boolean, reasons: array(lineField, { max: 32 }), decision: uuidField }),
  log: union('kind', {
    checkpoint: object({ kind: literal('checkpoint'), note: noteField }),
    tile: object({ kind: literal('tile'), data: base64Field }),
    entries: object({ kind: literal('entries'), data: base64Field }),
  }),
  deny: object({ deny: statementField }),
  bundles: parseBundlesResult,
  'federation.list': object({ relations: array(parseRelationStatus, { max: 64 }) }),
  anchor: parseAnchorResponse,
  'task.svid': parseTaskSvidResult,
  'task.jwt': parseTaskJwtResult,
  'task.ended': empty,
}

/** The parameters of that operation, or ZT-422-SCHEMA. */
export function parseHubParams<Op extends HubOp>(op: Op, value: unknown): HubParams[Op] {
  return PARAMS[op](value, 'params')
}

/** The result of that operation, or ZT-422-SCHEMA. */
export function parseHubResult<Op extends HubOp>(op: Op, value: unknown): HubResults[Op] {
  return RESULTS[op](value, 'result')
}
