// What the NATS client throws, as our codes: the client wraps errors in errors, so the chain of causes is looked at.
import { errors } from '@nats-io/transport-node'
import { ZtError, isZtError } from '#shared/errors/error.ts'
import type { RequestOptions } from './channel.ts'

// OpenSSL's verdicts on a chain, as Node names them.
const CHAIN_REFUSED = /^(?!ERR_SSL_).*(?:CERT|SELF_SIGNED|VERIFY|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH)/
// The server's alert after it has seen ours.
const ALERT = /^ERR_SSL_.*ALERT_.*(?:CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)/

export function notConnected(): ZtError {
  return new ZtError('ZT-503-NATS', 'there is no connection to a nats server')
}

export function refusedSubject(operation: string, subject: string, cause?: unknown): ZtError {
  const message = `the nats server does not let this identity ${operation} on the subject`
  return new ZtError('ZT-403-SUBJECT', message, { cause, details: { operation, subject } })
}

/** True if nobody answered in time, and nothing else is known. */
export function isTimeout(cause: unknown): boolean {
  return causes(cause).some((error) => error instanceof errors.TimeoutError)
}

/** Why there is no connection: ZT-401-CERT, ZT-401-SESSION or ZT-503-NATS. */
export function asConnectError(cause: unknown): ZtError {
  const chain = causes(cause)
  const ours = chain.find((error) => isZtError(error))
  if (ours !== undefined) return ours
  const code = chain.map((error) => (error as NodeJS.ErrnoException).code).find((text) => text !== undefined)
  if (code !== undefined && ALERT.test(code)) {
    return new ZtError('ZT-401-SESSION', 'the nats server refuses our certificate', { cause })
  }
  if (code !== undefined && CHAIN_REFUSED.test(code)) {
    const message = 'the nats server has no certificate of this mesh'
    return new ZtError('ZT-401-CERT', message, { cause, details: { reason: code } })
  }
  return asSendError(cause)
}

/** Why something could not be sent: ZT-413-SIZE, ZT-403-SUBJECT, ZT-401-SESSION or ZT-503-NATS. */
export function asSendError(cause: unknown): ZtError {
  for (const error of causes(cause)) {
    if (isZtError(error)) return error
    if (error instanceof errors.PermissionViolationError) {
      return refusedSubject(error.operation === 'publish' ? 'publish' : 'subscribe', error.subject, cause)
    }
    if (isUnauthorized(error)) {
      return new ZtError('ZT-401-SESSION', 'the nats server refuses the credentials', { cause })
    }
    if (error instanceof errors.InvalidArgumentError && error.message.includes('max_payload')) {
      return new ZtError('ZT-413-SIZE', 'the message is larger than the nats server takes', { cause })
    }
  }
  return new ZtError('ZT-503-NATS', 'the nats server cannot be used', { cause })
}

/** Why a request has no answer. */
export function asRequestError(
  cause: unknown,
  subject: string,
  unreachable: RequestOptions['unreachable'],
): ZtError {
  for (const error of causes(cause)) {
    if (error instanceof errors.TimeoutError) {
      return new ZtError('ZT-504-TIMEOUT', 'no answer came in the time given', {
        cause,
        details: { subject },
      })
    }
    if (error instanceof errors.NoRespondersError) {
      return new ZtError(unreachable, 'nobody listens on the subject', { cause, details: { subject } })
    }
  }
  return asSendError(cause)
}

// The client knows the words for an expired token, not those for a revoked one.
function isUnauthorized(error: Error): boolean {
  if (error instanceof errors.AuthorizationError) return true
  return (
    error instanceof errors.UserAuthenticationExpiredError || error.message === 'User Authentication Revoked'
  )
}

function causes(error: unknown): Error[] {
  const chain: Error[] = []
  let next: unknown = error
  while (next instanceof Error && chain.length < 8) {
    chain.push(next)
    next = next.cause
  }
  return chain
}
