// `audit verify --file`: a copy of a log, on its own, with keys and anchors from a copy of the hub's log or from the
// command line. Nothing is asked of anybody.
import { closeSync, openSync, readSync } from 'node:fs'
import { ZtError } from '#shared/errors/error.ts'
import { openLogReader, type LogReader } from '#shared/host/log-reader.ts'
import { parseVkey } from '#shared/log/note.ts'
import { rowOf } from '#shared/log/record.ts'
import { parseRow, type RowBody } from '#shared/log/row.ts'
import { LogVerifier, type LogReport, type LogTrust } from '#shared/log/verify-log.ts'
import { readContexts, type Place } from '../client/contexts.ts'
import { currentUid } from '../client/user.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'
import { HeldHeads, type HeldHead } from './held-heads.ts'
import { HubCheck } from './hub-check.ts'
import { KnownDenials, keeperOf } from './known-denials.ts'
import { LogCheck } from './log-check.ts'
import { openLogCopy } from './log-copy.ts'
import { summaryOf } from './online.ts'
import type { LogOutcome } from './outcome.ts'
import { Revocations } from './revocations.ts'
import { readSeenHead } from './seen-head.ts'
import { SuspectRows } from './suspect-rows.ts'

const SQLITE_MAGIC = 'SQLite format 3\0'

/** What is taken from the rows of a copy while they are verified. */
interface Found {
  readonly held: HeldHeads
  readonly rows: SuspectRows
  /** counts only if it is the log of a hub */
  readonly revocations: Revocations
}

/**
 * Verifies the copy that --file names. Errors: ZT-490-UNVERIFIABLE when there is no key to verify it with, and
 * ZT-503-DENY-LIST for a saved deny list that does not hold.
 */
export async function verifyOffline(file: string, call: Invocation, io: Io): Promise<readonly LogOutcome[]> {
  const reader = { call, place: { env: io.env, uid: currentUid() } }
  const keys = new KeyRing(call, reader.place)
  const hubFile = call.flags.one('hub-log')
  const hub = hubFile === undefined ? undefined : verifyHubCopy(hubFile, keys)
  const origin = originOf(file)
  const registered = hub?.witnessed.ofOrigin(origin)
  const vkeys = registered === undefined ? keys.of(origin) : [registered.vkey, ...keys.of(origin)]
  if (vkeys.length === 0) throw noKey(file, origin)
  const found: Found = { held: new HeldHeads(file), rows: new SuspectRows(), revocations: new Revocations() }
  const report = verifyCopy(file, { origin, vkeys, anchors: registered?.anchors ?? [] }, found)
  const { held, rows, revocations } = found
  const log = hub?.revocations ?? (isHubLog(origin) ? revocations : undefined)
  const denials = KnownDenials.read(hubFile ?? file, log, reader)
  const anchors = registered === undefined ? {} : { anchors: summaryOf(registered) }
  const quarantined = denials.count(rows, keeperOf(origin, registered))
  const outcome: LogOutcome = { name: file, origin, report, ...anchors, ...quarantined }
  if (hub === undefined || hubFile === undefined) return [outcome]
  const { later, within } = splitHeads(held.within(report.size), isSqlite(file) ? hub.size : Infinity)
  hub.compare(within)
  const hubOutcome = {
    name: hubFile,
    origin: hub.origin,
    report: hub.report(),
    ...denials.count(hub.rows),
  }
  return [hubOutcome, later.length === 0 ? outcome : { ...outcome, note: notCompared(later, hub.size) }]
}

/**
 * A database is of another moment than any copy of the hub's log: the node may have been shown more of it since, which
 * is said and not held against the hub. Copies that were saved together have no such excuse: the hub's was made to
 * reach up to every head in them.
 */
function splitHeads(
  heads: readonly HeldHead[],
  size: number,
): { within: readonly HeldHead[]; later: readonly HeldHead[] } {
  return {
    within: heads.filter((head) => head.size <= size),
    later: heads.filter((head) => head.size > size),
  }
}

function notCompared(later: readonly HeldHead[], size: number): string {
  return `heads of the hub's log behind its copy of ${size} rows: ${later.length}, not compared`
}

function verifyHubCopy(file: string, keys: KeyRing): HubCheck {
  const { head, entries } = openLogCopy(file)
  const vkeys = keys.of(head.origin)
  if (vkeys.length === 0) throw noKey(file, head.origin)
  const check = new HubCheck({ origin: head.origin, vkeys })
  check.expect(head.checkpoints)
  pushAll(entries, check)
  return check
}

function takeRow(row: RowBody, { held, rows, revocations }: Found): void {
  held.take(row)
  rows.take(row)
  revocations.take(row)
}

function verifyCopy(file: string, trust: LogTrust, found: Found): LogReport {
  if (isSqlite(file)) return verifyDatabase(file, trust, found)
  const { head, entries } = openLogCopy(file)
  const check = new LogCheck(trust, (row) => takeRow(row, found))
  check.expect(head.checkpoints)
  pushAll(entries, check)
  return check.report()
}

function verifyDatabase(file: string, trust: LogTrust, found: Found): LogReport {
  const verifier = new LogVerifier(trust)
  let reader: LogReader | undefined
  try {
    reader = openLogReader(file)
    verifier.addCheckpoints(reader.checkpoints())
    for (const record of reader.records()) {
      if (!verifier.push(record)) break
      takeRow(parseRow(rowOf(record).body), found)
    }
  } catch (cause) {
    verifier.unreadable(cause)
  } finally {
    reader?.close()
  }
  return verifier.report()
}

function pushAll(entries: Iterable<Uint8Array>, check: LogCheck | HubCheck): void {
  try {
    for (const entry of entries) if (!check.push(entry)) return
  } catch (cause) {
    check.fail(cause)
  }
}

/** Verifier keys by the log that they are named after: those given, then those of hubs that were verified before. */
class KeyRing {
  readonly #keys: readonly string[]

  /** Errors: ZT-422-NOTE for a malformed key. */
  constructor(call: Invocation, place: Place) {
    const seen = readContexts(place).contexts.flatMap(
      (context) => readSeenHead(context, place)?.identity.vkey ?? [],
    )
    this.#keys = [...call.flags.all('vkey'), ...seen]
  }

  of(origin: string): readonly string[] {
    return this.#keys.filter((vkey) => parseVkey(vkey).name === origin)
  }
}

const isHubLog = (origin: string): boolean => /^[^/]+\/log\/hub\//.test(origin)

// What the copy calls itself only chooses among keys that are trusted for other reasons.
function originOf(file: string): string {
  if (!isSqlite(file)) return openLogCopy(file).head.origin
  const reader = openLogReader(file)
  try {
    for (const { body } of reader.rows(0, 1)) return parseRow(body).log
  } catch (cause) {
    throw new ZtError('ZT-490-UNVERIFIABLE', `the first row of ${file} cannot be read`, { cause })
  } finally {
    reader.close()
  }
  throw new ZtError('ZT-490-UNVERIFIABLE', `${file} has no rows`)
}

function isSqlite(file: string): boolean {
  const start = Buffer.alloc(SQLITE_MAGIC.length)
  try {
    const opened = openSync(file, 'r')
    try {
      readSync(opened, start, 0, start.length, 0)
    } finally {
      closeSync(opened)
    }
  } catch (cause) {
    throw new ZtError('ZT-490-UNVERIFIABLE', `${file} cannot be opened`, { cause })
  }
  return start.toString('latin1') === SQLITE_MAGIC
}

function noKey(file: string, origin: string): ZtError {
  return new ZtError('ZT-490-UNVERIFIABLE', `there is no key to verify ${file} with`, {
    details: { hint: `give --vkey with the key of ${origin}, or --hub-log with a copy of the hub's log` },
  })
}
