// The error answers of the token endpoint: RFC 6749 §5.2, RFC 8693 §2.2.2 and RFC 9396 §5 name them, and `zt` says
// which of our codes stands behind one.
import { toWireError, type ErrorDetails } from '#shared/errors/error.ts'
import type { ErrorCode } from '#shared/errors/codes.ts'

export type OauthErrorName =
  | 'invalid_request'
  | 'invalid_client'
  | 'invalid_target'
  | 'invalid_authorization_details'
  | 'access_denied'
  | 'server_error'
  | 'temporarily_unavailable'

export interface OauthErrorBody {
  readonly error: OauthErrorName
  readonly error_description: string
  readonly zt: { readonly code: ErrorCode; readonly requestId: string; readonly details?: ErrorDetails }
}

export interface OauthError {
  readonly status: 400 | 401 | 500 | 503
  readonly body: OauthErrorBody
}

const BY_CODE: ReadonlyMap<ErrorCode, OauthErrorName> = new Map([
  ['ZT-404-NODE', 'invalid_target'],
  ['ZT-409-IDENTIFIER', 'invalid_authorization_details'],
  ['ZT-422-CMD', 'invalid_authorization_details'],
  ['ZT-503-ANCHOR', 'temporarily_unavailable'],
] as const)

const BY_NUMBER: ReadonlyMap<string, OauthErrorName> = new Map([
  ['400', 'invalid_request'],
  ['401', 'invalid_client'],
  ['403', 'access_denied'],
  ['408', 'invalid_request'],
  ['409', 'invalid_request'],
  ['413', 'invalid_request'],
  ['421', 'invalid_request'],
  ['422', 'invalid_request'],
  ['429', 'temporarily_unavailable'],
  ['503', 'temporarily_unavailable'],
] as const)

const STATUS: Readonly<Record<OauthErrorName, OauthError['status']>> = {
  invalid_request: 400,
  invalid_client: 401,
  invalid_target: 400,
  invalid_authorization_details: 400,
  access_denied: 400,
  server_error: 500,
  temporarily_unavailable: 503,
}

/** The answer for any failure of the exchange; nothing of an unexpected error leaks. */
export function oauthError(error: unknown, requestId: string): OauthError {
  const { code, message, details } = toWireError(error, requestId)
  const name = BY_CODE.get(code) ?? BY_NUMBER.get(code.slice(3, 6)) ?? 'server_error'
  const zt = details === undefined ? { code, requestId } : { code, requestId, details }
  return { status: STATUS[name], body: { error: name, error_description: message, zt } }
}
