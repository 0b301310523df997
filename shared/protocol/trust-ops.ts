// What operators ask a hub about its trust and its ladder, and what it answers: `bundle.*`, `ladder.*`, `ceremony.anchor`.
import { array, boolean, integer, nullable, object, string, type Parser } from '#shared/encoding/shape.ts'
import { base64Field, bytes32Field, compactField, millisField, noteField, statementField } from './fields.ts'
import { deflatedField } from './ladder-transfer.ts'
import { rootUsageField, type RootUsage } from './root-usage.ts'

const hex256: Parser<string> = string({ max: 64, pattern: /^[0-9a-f]{64}$/ })
const empty: Parser<Readonly<Record<never, never>>> = object({})
const count: Parser<number> = integer({ min: 0 })

export interface BundleView {
  readonly td: string
  readonly sequence: number
  /** fingerprint of the root that signed the bundle in force */
  readonly signer: string
  readonly roots: readonly {
    readonly fingerprint: string
    /** UTC, milliseconds: its end, and since when it is trusted without a break */
    readonly until: number
    readonly since: number
  }[]
  /** base64url SHA-256 of the keys of revoked intermediates */
  readonly revoked: readonly string[]
  /** the last ones, oldest first; the last of them is in force */
  readonly history: readonly {
    readonly sequence: number
    readonly imported: number
    readonly signer: string
    /** base64url, of the signed text */
    readonly sha256: string
  }[]
}

export interface LadderView {
  /** rungs from now on without a gap, the current one included */
  readonly remaining: number
  /** below three: run a ladder ceremony */
  readonly alarm: boolean
  readonly current: number | null
  readonly next: number | null
  /** when issuing ends without another ceremony */
  readonly until: number | null
  readonly rungs: readonly {
    readonly index: number
    readonly from: number
    readonly until: number
    readonly root: string
    /** base64url SHA-256 of their keys: what a ceremony that revokes them names */
    readonly workload: string
    readonly infra: string
  }[]
  /** live SVIDs of each root */
  readonly usage: readonly RootUsage[]
}

const usage: Parser<readonly RootUsage[]> = array(rootUsageField, { max: 16 })

const bundleView: Parser<BundleView> = object({
  td: string({ min: 1, max: 255 }),
  sequence: count,
  signer: hex256,
  roots: array(object({ fingerprint: hex256, until: millisField, since: millisField }), { max: 8 }),
  revoked: array(bytes32Field, { max: 256 }),
  history: array(object({ sequence: count, imported: millisField, signer: hex256, sha256: bytes32Field }), {
    max: 64,
  }),
})

const ladderView: Parser<LadderView> = object({
  remaining: count,
  alarm: boolean,
  current: nullable(count),
  next: nullable(count),
  until: nullable(millisField),
  rungs: array(
    object({
      index: count,
      from: millisField,
      until: millisField,
      root: hex256,
      workload: bytes32Field,
      infra: bytes32Field,
    }),
    { max: 64 },
  ),
  usage,
})

export interface CeremonyAnchor {
  readonly type: string
  /** head of the ceremony before; null for a root's */
  readonly previous: string | null
  /** hex SHA-256 of the ceremony file that was approved */
  readonly ceremony: string
  readonly head: string
  /** of the transcript's file */
  readonly sha256: string
}

export interface TrustParams {
  readonly 'bundle.show': Readonly<Record<never, never>>
  readonly 'bundle.import': { readonly bundle: string }
  readonly 'ladder.status': Readonly<Record<never, never>>
  readonly 'ladder.request': { readonly rungs: number; readonly fresh: boolean }
  /** `response`: see deflateLadder() */
  readonly 'ladder.import': { readonly response: string }
  readonly 'ladder.usage': Readonly<Record<never, never>>
  /** what a transcript says of its ceremony, and the SHA-256 of its file */
  readonly 'ceremony.anchor': CeremonyAnchor
}

export interface TrustResults {
  readonly 'bundle.show': BundleView
  readonly 'bundle.import': BundleView
  readonly 'ladder.status': LadderView
  /** the request's file, and its hex SHA-256 */
  readonly 'ladder.request': { readonly request: string; readonly sha256: string }
  readonly 'ladder.import': LadderView
  /** a zt-root-usage+jws, and what it says */
  readonly 'ladder.usage': { readonly statement: string; readonly roots: readonly RootUsage[] }
  /** the row, and a signed head of the hub's log that includes it */
  readonly 'ceremony.anchor': {
    readonly log: string
    readonly seq: number
    readonly hash: string
    readonly checkpoint: string
  }
}

export type TrustOp = keyof TrustParams

/** rungs of one request: one a day */
export const rungsField: Parser<number> = integer({ min: 1, max: 30 })

export const TRUST_PARAMS: { readonly [Op in TrustOp]: Parser<TrustParams[Op]> } = {
  'bundle.show': empty,
  'bundle.import': object({ bundle: statementField }),
  'ladder.status': empty,
  'ladder.request': object({ rungs: rungsField, fresh: boolean }),
  'ladder.import': object({ response: deflatedField }),
  'ladder.usage': empty,
  'ceremony.anchor': object({
    type: string({ min: 1, max: 32, pattern: /^[a-z][a-z0-9-]*$/ }),
    previous: nullable(bytes32Field),
    ceremony: hex256,
    head: bytes32Field,
    sha256: hex256,
  }),
}

export const TRUST_RESULTS: { readonly [Op in TrustOp]: Parser<TrustResults[Op]> } = {
  'bundle.show': bundleView,
  'bundle.import': bundleView,
  'ladder.status': ladderView,
  'ladder.request': object({ request: base64Field, sha256: hex256 }),
  'ladder.import': ladderView,
  'ladder.usage': object({ statement: compactField, roots: usage }),
  'ceremony.anchor': object({
    log: string({ min: 1, max: 200 }),
    seq: count,
    hash: bytes32Field,
    checkpoint: noteField,
  }),
}
