// Every path of the hub's HTTPS side. Joining, login and the bundle are for who has no identity yet; the token exchange
// and the log need a client certificate that holds at that moment.
import type { Parser } from '#shared/encoding/shape.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { ZtError } from '#shared/errors/error.ts'
import {
  MAX_ADMISSION_BYTES,
  parseAttestRequest,
  parseChallengeRequest,
  type BundlesResponse,
} from '#shared/protocol/admission.ts'
import { parseExchangeForm } from '#shared/protocol/exchange.ts'
import { parseLoginChallengeRequest, parseLoginRequest } from '#shared/protocol/login.ts'
import { oauthError } from '#shared/protocol/oauth-error.ts'
import type { Admission } from '../admission/admission.ts'
import type { LogReader } from '../audit/log-reader.ts'
import type { TokenExchange } from '../authority/exchange.ts'
import type { OsLogin } from '../login/os.ts'
import { MAX_BODY_BYTES } from './body.ts'
import { jsonResponse, type HttpRequest, type HttpResponse, type Route } from './exchange.ts'

export interface RouteParts {
  readonly bundle: () => string
  /** the bundles that follow the one of that sequence number */
  readonly bundles: (sequence: number) => BundlesResponse
  readonly admission: Admission
  readonly login: OsLogin
  readonly exchange: TokenExchange
  readonly log: LogReader
  readonly ready: () => boolean
}

function json<T>(
  parse: Parser<T>,
  answer: (body: T, request: HttpRequest) => unknown,
  maxBytes: number = MAX_BODY_BYTES,
): Route['handle'] {
  return async (request) => {
    const body = parse(parseStrictJson(request.body, { maxBytes }), '')
    return jsonResponse(await answer(body, request))
  }
}

const post = (path: string, handle: Route['handle']): Route => ({
  method: 'POST',
  path,
  accepts: 'application/json',
  handle,
})

// The one body that may be large: a TPM's event log is in it.
const attestRoute = (admission: Admission): Route => ({
  ...post(
    '/v1/attest',
    json(parseAttestRequest, (request) => admission.attest(request), MAX_ADMISSION_BYTES),
  ),
  maxBytes: MAX_ADMISSION_BYTES,
})

const get = (path: string, handle: Route['handle']): Route => ({ method: 'GET', path, handle })

function formText(body: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body)
  } catch (cause) {
    throw new ZtError('ZT-400-MALFORMED', 'form is not UTF-8', { cause })
  }
}

// RFC 8693 §2.2 over mTLS (RFC 8705): the client is who its certificate says.
function tokenRoute(exchange: TokenExchange): Route {
  return {
    method: 'POST',
    path: '/oauth/token',
    accepts: 'application/x-www-form-urlencoded',
    handle: async (request) => {
      const caller = request.client()
      const asked = parseExchangeForm(formText(request.body))
      const { response } = await exchange.exchange(asked, { caller, request: { jti: request.requestId } })
      return jsonResponse(response)
    },
    failure: (error, requestId) => {
      const { status, body } = oauthError(error, requestId)
      return jsonResponse(body, status)
    },
  }
}

// For who slept through a rotation and cannot judge the hub yet: each bundle proves itself by the one before it.
function bundlesRoute(bundles: RouteParts['bundles']): Route {
  return {
    ...get('/v1/bundles', async ({ path }) => jsonResponse(bundles(sequenceOf(path)))),
    query: true,
  }
}

function sequenceOf(path: string): number {
  const [, digits] = /\?from=(0|[1-9][0-9]{0,14})$/.exec(path) ?? []
  if (digits !== undefined) return Number(digits)
  throw new ZtError('ZT-422-SCHEMA', 'field "from" must be a sequence number')
}

// C2SP tlog-tiles §Static files: the checkpoint is text, tiles are bytes.
function logRoutes(log: LogReader): readonly Route[] {
  return [
    get('/log/checkpoint', async (request) => ({
      status: 200,
      contentType: 'text/plain; charset=utf-8',
      body: await log.checkpoint(request.client()),
    })),
    get('/log/*', async (request): Promise<HttpResponse> => {
      const body = await log.tile(request.path.slice('/log/'.length), request.client())
      return { status: 200, contentType: 'application/octet-stream', body }
    }),
  ]
}

export function hubRoutes(parts: RouteParts): readonly Route[] {
  const { admission, login } = parts
  return [
    get('/v1/health', async () => jsonResponse({ ok: parts.ready() }, parts.ready() ? 200 : 503)),
    get('/v1/bundle', async () => jsonResponse({ bundle: parts.bundle() })),
    bundlesRoute(parts.bundles),
    post(
      '/v1/challenge',
      json(parseChallengeRequest, (request, { remote }) => admission.challenge(request, remote)),
    ),
    attestRoute(admission),
    post(
      '/v1/login/challenge',
      json(parseLoginChallengeRequest, ({ uid }) => login.challenge(uid)),
    ),
    post(
      '/v1/login',
      json(parseLoginRequest, (request) => login.login(request)),
    ),
    tokenRoute(parts.exchange),
    ...logRoutes(parts.log),
  ]
}
