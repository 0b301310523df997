// How the verifier says no: one code a failing check, and in details.reason which rule of that check it was.
import type { ErrorCode } from '#shared/errors/codes.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'

/** The error of a check; `reason` is one word, stable, and becomes details.reason. */
export function refuse(code: ErrorCode, reason: string, message: string): ZtError {
  return new ZtError(code, message, { details: { reason } })
}

/** What `read` returns; its own refusal, whatever its code, becomes `code` with the reason `malformed`. */
export function readAs<T>(code: ErrorCode, what: string, read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (!isZtError(cause)) throw cause
    const message = `${what} is refused: ${cause.message}`
    throw new ZtError(code, message, { cause, details: { reason: 'malformed' } })
  }
}

/** Throws ZT-413-SIZE if `bytes` is longer than anything genuine is: before a parser looks at it (T11). */
export function requireSize(bytes: Uint8Array, max: number, what: string): void {
  if (bytes.length > max) throw new ZtError('ZT-413-SIZE', `${what} is over ${max} bytes`)
}
