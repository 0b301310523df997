// What verifying came to, for each log: for people, for programs, and as an exit status.
import { ERROR_TABLE } from '#shared/errors/codes.ts'
import type { ErrorCode } from '#shared/errors/codes.ts'
import type { LogReport } from '#shared/log/verify-log.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'
import { printListing } from '../output/print.ts'
import { quarantinedJson, spanOf } from '../client/quarantine.ts'
import { remark, warn } from '../output/report-error.ts'
import { rfc3339, shortDuration } from '../output/time.ts'
import type { SuspectCount } from './suspect-rows.ts'

export interface LogOutcome {
  /** `hub`, the name of a node, or a file */
  readonly name: string
  readonly origin: string
  /** absent when the log could not be had at all */
  readonly report?: LogReport
  readonly anchors?: { readonly count: number; readonly size: number; readonly at?: number }
  /** the log of an earlier epoch of a node: no copy of it was looked at, so it is neither good nor bad */
  readonly earlier?: true
  /** the rows of it that are quarantined; `unknown` where it could not be had who is denied */
  readonly quarantined?: SuspectCount | 'unknown'
  /** as of when it is known who is denied, and of how many rows it is therefore not known */
  readonly asOf?: DeniedAsOf
  readonly unknownRows?: number
  /** of a node that cannot be asked for its log: why */
  readonly unasked?: 'revoked' | 'allowed again'
  /** what is to be known and is no fault */
  readonly note?: string
  readonly failure?: { readonly code: ErrorCode; readonly message: string }
}

/** `at` is UTC milliseconds; `version` is of the deny list that says so, if it is not the hub's log alone. */
export interface DeniedAsOf {
  readonly at: number
  readonly version?: number
}

const UNKNOWN = { code: 'ZT-503-DENY-LIST' } as const
/** Milliseconds for which what is known passes for what is so. */
const FRESH_MS = 60_000
const INTEGRITY = 9
const PARTIAL = 8

/** Prints the outcomes and gives the exit status: 9 for evidence that does not hold, then 8 for what is missing. */
export function concludeVerification(outcomes: readonly LogOutcome[], call: Invocation, io: Io): number {
  const now = io.clock.now()
  printListing<LogOutcome>(
    {
      kind: 'VerificationReport',
      headings: ['LOG', 'STATE', 'ROWS', 'QUARANTINED', 'AS OF', 'HEADS', 'ANCHORED', 'AGE', 'DETAIL'],
      items: outcomes,
      extra: { ok: outcomes.every((outcome) => faultOf(outcome) === undefined && isKnown(outcome)) },
      toName: ({ name }) => name,
      toRow: (outcome) => toRow(outcome, now),
      toJson,
    },
    call,
    io,
  )
  for (const outcome of outcomes) {
    const fault = faultOf(outcome)
    if (fault !== undefined) remark(`error: ${outcome.name}: ${fault.message} (${fault.code})`, io)
    sayQuarantine(outcome, io)
  }
  sayAsOf(outcomes, now, io)
  return statusOf(outcomes)
}

const isKnown = ({ quarantined, unknownRows = 0 }: LogOutcome): boolean =>
  quarantined !== 'unknown' && unknownRows === 0

/** Of evidence that was saved: whoever was denied since is not known to it, and may be so from before. */
function sayAsOf(outcomes: readonly LogOutcome[], now: number, io: Io): void {
  const asOf = outcomes.find((outcome) => outcome.asOf !== undefined)?.asOf
  if (asOf === undefined || Math.abs(now - asOf.at) < FRESH_MS) return
  const by = asOf.version === undefined ? "the hub's log" : `deny list ${asOf.version}`
  warn(`who is denied is known as of ${rfc3339(asOf.at) ?? ''} (${by}), not who was denied since`, io)
}

function sayQuarantine({ name, quarantined, unknownRows = 0 }: LogOutcome, io: Io): void {
  if (unknownRows > 0)
    remark(
      `error: ${name}: ${unknownRows} rows are from after the moment as of which it is known who is denied (${UNKNOWN.code})`,
      io,
    )
  if (quarantined === undefined) return
  if (quarantined === 'unknown')
    return remark(
      `error: ${name}: without a deny list it is not known what is quarantined (${UNKNOWN.code})`,
      io,
    )
  for (const { id, rows, ...suspicion } of quarantined.by)
    warn(
      `${name}: ${rows} rows are quarantined because of ${id}: ${spanOf(suspicion)}: ${suspicion.reason}`,
      io,
    )
}

function statusOf(outcomes: readonly LogOutcome[]): number {
  const unknown = outcomes.some((outcome) => !isKnown(outcome)) ? [UNKNOWN] : []
  const faults = [...outcomes.flatMap((outcome) => faultOf(outcome) ?? []), ...unknown]
  const statuses = faults.map(({ code }) => ERROR_TABLE[code].exit)
  if (statuses.length === 0) return 0
  if (statuses.includes(INTEGRITY)) return INTEGRITY
  // A name that no node has is what every verb says it is: beside the hub nothing else was meant.
  const isMistyped = outcomes.length === 2 && faults.every(({ code }) => code === 'ZT-404-NODE')
  return outcomes.length === 1 || isMistyped ? (statuses[0] ?? INTEGRITY) : PARTIAL
}

interface Fault {
  readonly code: ErrorCode
  readonly message: string
  readonly seq?: number
}

function faultOf({ failure, report }: LogOutcome): Fault | undefined {
  return failure ?? report?.firstBad
}

function toRow(outcome: LogOutcome, now: number): readonly string[] {
  const { name, report, anchors, asOf } = outcome
  const fault = faultOf(outcome)
  const at = anchors?.at
  return [
    name,
    stateOf(outcome),
    report === undefined ? '-' : String(report.rows),
    quarantineText(outcome),
    asOf === undefined ? '-' : `${shortDuration(now - asOf.at)} ago`,
    report === undefined ? '-' : String(report.heads),
    anchors === undefined ? '-' : `${anchors.size} (${anchors.count})`,
    at === undefined ? '-' : `${shortDuration(now - at)} ago`,
    fault?.message ?? outcome.note ?? '',
  ]
}

function quarantineText({ quarantined, report, unknownRows = 0 }: LogOutcome): string {
  if (quarantined === 'unknown') return 'unknown'
  if (report === undefined && quarantined === undefined) return '-'
  const rows = String(quarantined?.rows ?? 0)
  return unknownRows === 0 ? rows : `${rows}, ${unknownRows} unknown`
}

function stateOf(outcome: LogOutcome): string {
  if (outcome.unasked !== undefined) return outcome.unasked
  if (outcome.earlier === true) return 'earlier epoch'
  return faultOf(outcome)?.code ?? 'ok'
}

function toJson(outcome: LogOutcome): Readonly<Record<string, unknown>> {
  const { name, origin, report, anchors, asOf } = outcome
  const fault = faultOf(outcome)
  return {
    log: name,
    origin,
    ok: outcome.earlier === true || outcome.unasked !== undefined ? null : fault === undefined,
    rows: report?.rows ?? null,
    head: report === undefined ? null : { size: report.size, root: report.root },
    heads: report?.heads ?? null,
    anchored:
      anchors === undefined ? null : { size: anchors.size, count: anchors.count, at: rfc3339(anchors.at) },
    quarantined: countJson(outcome.quarantined),
    unknownRows: outcome.quarantined === 'unknown' ? (report?.rows ?? null) : (outcome.unknownRows ?? 0),
    deniedAsOf: asOf === undefined ? null : { time: rfc3339(asOf.at), denyListVersion: asOf.version ?? null },
    note: outcome.note ?? null,
    firstBad: report?.firstBad ?? null,
    error: fault === undefined ? null : { code: fault.code, message: fault.message },
  }
}

function countJson(count: LogOutcome['quarantined']): unknown {
  if (count === undefined || count === 'unknown') return count ?? null
  const by = count.by.map(({ id, rows, ...suspicion }) => ({ id, rows, ...quarantinedJson(suspicion) }))
  return { ...quarantinedJson(count), rows: count.rows, by }
}
