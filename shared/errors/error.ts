// The one error class. `code` is public and stable; `message` may change and never holds a secret, an argv or raw input.
import { isErrorCode, type ErrorCode } from './codes.ts'

export type ErrorDetails = Readonly<Record<string, string | number>>

export interface ZtErrorOptions {
  readonly cause?: unknown
  readonly details?: ErrorDetails
}

export class ZtError extends Error {
  override readonly name = 'ZtError'
  readonly code: ErrorCode
  readonly details: ErrorDetails

  constructor(code: ErrorCode, message: string, options: ZtErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.details = Object.freeze({ ...options.details })
  }
}

/** True for a ZtError, of the given code if one is given. */
export function isZtError(error: unknown, code?: ErrorCode): error is ZtError {
  return error instanceof ZtError && (code === undefined || error.code === code)
}

export interface WireError {
  readonly code: ErrorCode
  readonly message: string
  readonly requestId: string
  readonly details?: ErrorDetails
}

/** What may be told to the other side: anything but a ZtError becomes ZT-500-INTERNAL, and nothing of it leaks. */
export function toWireError(error: unknown, requestId: string): WireError {
  if (!isZtError(error)) return { code: 'ZT-500-INTERNAL', message: 'internal error', requestId }
  const { code, message, details } = error
  return Object.keys(details).length === 0
    ? { code, message, requestId }
    : { code, message, requestId, details }
}

/** Makes the error again that a verified answer carries; a code of a newer version becomes ZT-500-INTERNAL. */
export function fromWireError(wire: { code: string; message: string; details?: ErrorDetails }): ZtError {
  const code = isErrorCode(wire.code) ? wire.code : 'ZT-500-INTERNAL'
  return new ZtError(code, wire.message, wire.details === undefined ? {} : { details: wire.details })
}
