// What is known of one process, kept as a file from before it can run until its retention ends. A record on disk is
// what makes "this process id was used" outlive the keeper, and "lost" a fact and not a guess.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { integer, literal, object, oneOf, optional, string, type Parser } from '#shared/encoding/shape.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { ZtError, isZtError } from '#shared/errors/error.ts'
import { parseProcId, type ProcId } from '#shared/identity/names.ts'
import { procIdField } from '#shared/protocol/fields.ts'

/**
 * starting: recorded, nothing has run yet · running · exited: ran, and how it ended is known · failed: the program
 * never ran · lost: its keeper ended, and the tree with it; how it ended is not known
 */
export type KeptState = 'starting' | 'running' | 'exited' | 'failed' | 'lost'

export interface KeptExit {
  /** 0 to 255; a program that a signal ended has 128 and the signal's number */
  readonly code: number
  /** without `SIG`; only if the keeper sent that signal, and `code` says that it was the end */
  readonly signal?: string
  /** the limit that ended it, if one did */
  readonly limit?: 'wall_s'
}

export interface KeptFile {
  readonly realpath: string
  readonly sha256: string
}

export interface ProcRecord {
  readonly v: 1
  readonly proc: ProcId
  readonly state: KeptState
  /** the start of the machine that it belongs to */
  readonly boot: string
  /** milliseconds since 1970 */
  readonly began: number
  readonly exe: KeptFile
  readonly interpreter?: KeptFile
  /** what the sandbox enforces, and the digest over it */
  readonly profile: { readonly name: string; readonly sha256: string }
  readonly pid?: number
  readonly started?: string
  readonly ended?: number
  readonly exit?: KeptExit
  /** why it ended, if it did not end by itself; for a failed one, what went wrong */
  readonly reason?: string
  /** something else may have run than what was hashed: its name was given to another file while it started */
  readonly replaced?: true
  readonly output: { readonly segmentBytes: number; readonly stdout: number; readonly stderr: number }
}

const MAX_BYTES = 64 * 1024
/** in the order in which a process goes through them */
const STAGES: ReadonlyMap<KeptState, string> = new Map([
  ['starting', '1-starting.json'],
  ['running', '2-running.json'],
  ['exited', '3-ended.json'],
  ['failed', '3-ended.json'],
  ['lost', '3-ended.json'],
])
const path = string({ min: 1, max: 4096 })
const digest = string({ min: 43, max: 43, pattern: /^[A-Za-z0-9_-]+$/ })
const keptFile: Parser<KeptFile> = object({ realpath: path, sha256: digest })
const count = integer({ min: 0 })

export const procRecord: Parser<ProcRecord> = object({
  v: literal(1),
  proc: procIdField,
  state: oneOf(['starting', 'running', 'exited', 'failed', 'lost']),
  boot: string({ max: 64 }),
  began: count,
  exe: keptFile,
  interpreter: optional(keptFile),
  profile: object({ name: string({ max: 64 }), sha256: digest }),
  pid: optional(integer({ min: 1 })),
  started: optional(string({ max: 20, pattern: /^[0-9]+$/ })),
  ended: optional(count),
  exit: optional(
    object({
      code: integer({ min: 0, max: 255 }),
      signal: optional(string({ max: 16, pattern: /^[A-Z0-9+]+$/ })),
      limit: optional(oneOf(['wall_s'])),
    }),
  ),
  reason: optional(string({ max: 512 })),
  replaced: optional(literal(true)),
  output: object({ segmentBytes: integer({ min: 1 }), stdout: count, stderr: count }),
})

export function isFinished(record: Pick<ProcRecord, 'state'>): boolean {
  return record.state !== 'starting' && record.state !== 'running'
}

/** Where everything of the keeper lies, below the agent's state folder. */
export function keeperDir(stateDir: string): string {
  return join(stateDir, 'keeper')
}

/** Where a keeper listens; its length is limited by sockaddr_un (unix(7)). */
export function keeperSocket(stateDir: string): string {
  return join(keeperDir(stateDir), 'sock')
}

export function procDir(stateDir: string, proc: ProcId): string {
  return join(keeperDir(stateDir), 'procs', proc)
}

/** The record of that process, or undefined if there is none that can be read. */
export function readRecord(stateDir: string, proc: ProcId): ProcRecord | undefined {
  const dir = procDir(stateDir, proc)
  for (const name of [...new Set(STAGES.values())].toReversed()) {
    const record = readStage(join(dir, name))
    if (record !== undefined) return record
  }
  return undefined
}

/** undefined for one that is not there, or was not written to its end: then the stage before it holds. */
function readStage(path: string): ProcRecord | undefined {
  try {
    return procRecord(parseStrictJson(readFileSync(path), { maxBytes: MAX_BYTES }), 'record')
  } catch (cause) {
    if (isZtError(cause) || isMissing(cause)) return undefined
    throw cause
  }
}

/** Takes a process id for good. Errors: ZT-409-IDENTIFIER if it was taken before. */
export function claimProc(stateDir: string, proc: ProcId): void {
  try {
    mkdirSync(procDir(stateDir, proc), { mode: 0o700 })
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'EEXIST')) throw cause
    throw new ZtError('ZT-409-IDENTIFIER', 'a process with this id was started before', { cause })
  }
  // If we crash here, the id is taken and nothing has run; the folder without a record says so.
}

/**
 * Writes the record of this stage of a process. Nothing is replaced: the latest stage that can be read is the one that
 * counts, so a crash in the middle of this leaves the one before.
 */
export function writeRecord(stateDir: string, record: ProcRecord): void {
  const name = STAGES.get(record.state)
  if (name === undefined) throw new ZtError('ZT-500-INTERNAL', 'a record without a stage')
  writeFileSync(join(procDir(stateDir, record.proc), name), JSON.stringify(record), { mode: 0o600 })
}

/** Every process id that was ever taken here and is still within its retention. */
export function takenProcs(stateDir: string): ProcId[] {
  const names = readdirSync(join(keeperDir(stateDir), 'procs'))
  return names.flatMap((name) => {
    try {
      return [parseProcId(name)]
    } catch (cause) {
      if (isZtError(cause, 'ZT-422-NAME')) return []
      throw cause
    }
  })
}

function isMissing(cause: unknown): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'ENOENT'
}
