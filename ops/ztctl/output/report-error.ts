// How ztctl fails: one line that says what and which code, one that says what to do, and the exit status of the code.
import { ERROR_TABLE, type ErrorCode } from '#shared/errors/codes.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import type { Io } from '../io.ts'
import { API_VERSION } from './print.ts'
import { safeText } from './safe-text.ts'
import { createStyle } from './style.ts'

export interface ReportOptions {
  readonly json: boolean
  readonly color?: string | undefined
}

/** Prints an error to stderr: two lines of text, or one JSON object where JSON was asked for. */
export function reportError(error: unknown, io: Io, options: ReportOptions): void {
  const known = asZtError(error)
  const hint = hintOf(known)
  if (options.json) {
    const { code, message, details } = known
    const body = { apiVersion: API_VERSION, kind: 'Error', error: { code, message, hint, details } }
    io.stderr.write(`${JSON.stringify(body)}\n`)
    return
  }
  const style = createStyle({ env: io.env, isTty: io.stderr.isTTY === true, color: options.color })
  const detail = detailText(known)
  io.stderr.write(`ztctl: ${style.bad('error:')} ${safeText(known.message)}${detail} (${known.code})\n`)
  if (hint !== '') io.stderr.write(`ztctl: ${style.faint('hint:')} ${safeText(hint)}\n`)
}

/** Prints a remark to stderr. */
export function remark(text: string, io: Io): void {
  io.stderr.write(`ztctl: ${safeText(text)}\n`)
}

/** Prints what a reader must not overlook to stderr. */
export function warn(text: string, io: Io): void {
  const style = createStyle({ env: io.env, isTty: io.stderr.isTTY === true, color: undefined })
  io.stderr.write(`ztctl: ${style.warn('warning:')} ${safeText(text)}\n`)
}

/** The exit status for an error. A verb with a remote exit status keeps 1–124 for the remote program. */
export function exitStatus(error: unknown, remoteExit: boolean): number {
  const { code } = asZtError(error)
  const { exit } = ERROR_TABLE[code]
  return remoteExit && exit < 124 ? 125 : exit
}

function asZtError(error: unknown): ZtError {
  if (isZtError(error)) return error
  const what = error instanceof Error ? error.message : String(error)
  return new ZtError('ZT-500-INTERNAL', `unexpected: ${what.slice(0, 200)}`, { cause: error })
}

function hintOf(error: ZtError): string {
  const hint = error.details['hint']
  if (typeof hint === 'string') return hint
  const remedy: string = ERROR_TABLE[error.code satisfies ErrorCode].remedy
  return remedy.startsWith('none') ? '' : remedy
}

// Why a request was denied is the first thing that its author asks: reasons are part of the sentence.
function detailText(error: ZtError): string {
  const reasons = error.details['reasons'] ?? error.details['reason']
  return reasons === undefined ? '' : `: ${safeText(String(reasons))}`
}
