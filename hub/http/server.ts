// HTTPS for what cannot go over NATS yet: joining, login, the token exchange and the log. TLS 1.3 only. A resumed
// session is cut off, because Node accepts an expired client certificate on one (identity.md F5); the client's chain
// is validated again on every request, because a connection outlives the five minutes of an SVID.
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { SecureContextOptions, TLSSocket } from 'node:tls'
import { toWireError, ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'
import type { VerifiedSvid } from '#shared/x509/svid.ts'
import { MAX_BODY_BYTES, readBody, requireContentType } from './body.ts'
import { clientChain } from './client-chain.ts'
import { ConnectionLimit } from './connection-limit.ts'
import { jsonResponse, type HttpRequest, type HttpResponse, type Route } from './exchange.ts'
import { RateLimiter } from '../rate-limit.ts'

export interface TlsMaterial {
  /** PEM: leaf, then intermediate */
  readonly cert: string
  /** PEM, from memory */
  readonly key: string
}

export interface HttpServerOptions {
  readonly listen: { readonly host: string; readonly port: number }
  readonly tls: TlsMaterial
  readonly routes: readonly Route[]
  readonly clock: Clock
  readonly log: Logger
  /** Whose the chain is, valid now and not denied. Throws ZT-401-CERT or ZT-403-REVOKED. */
  authenticate(chain: readonly Uint8Array[]): VerifiedSvid
  /** Hears of every request that fails, before it is answered; whoever threw the error may have said so already. */
  refused(failed: FailedRequest, error: unknown): Promise<void>
}

export interface FailedRequest {
  readonly requestId: string
  /** of the route; "unknown" if there is none */
  readonly path: string
  /** who proved that it asked, if that was before the failure */
  readonly caller: VerifiedSvid | undefined
}

export interface HttpServer {
  readonly port: number
  /** New connections get the new certificate; those that are open keep theirs. */
  setTls(tls: TlsMaterial): void
  close(): Promise<void>
}

const HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'strict-transport-security': 'max-age=31536000',
  'x-content-type-options': 'nosniff',
} as const

const LIMITS = {
  maxHeaderSize: 16 * 1024,
  headersTimeout: 10_000,
  requestTimeout: 20_000,
  keepAliveTimeout: 30_000,
  handshakeTimeout: 10_000,
} as const
const MAX_CONNECTIONS = 4000
/** From one address. */
const MAX_CONNECTIONS_EACH = 256
/** How long answers under way may take once the server closes, milliseconds. */
const CLOSE_GRACE_MS = 2000
const RATE = { burst: 600, perSecond: 200 }
/** Of bodies over 64 KiB, of which anybody may send some: each is some 20 ms of the hub's time to parse. */
const LARGE_RATE = { burst: 20, perSecond: 5 }

// No authority is given to OpenSSL: whose a chain is, our validator says, for each request. With one, Node keeps the
// intermediate of a chain that OpenSSL could verify to itself (getPeerCertificate() of a server, as of Node 24).
const secureOptions = (tls: TlsMaterial): SecureContextOptions => ({
  ...tls,
  ca: [],
  minVersion: 'TLSv1.3',
  maxVersion: 'TLSv1.3',
})

/** The three digits of a code are its HTTP status; evidence codes (490) are a conflict. */
function statusOf(code: string): number {
  const status = Number(code.slice(3, 6))
  return status === 490 ? 409 : status
}

function plainFailure(error: unknown, requestId: string): HttpResponse {
  const wire = toWireError(error, requestId)
  return jsonResponse(wire, statusOf(wire.code))
}

interface Asked {
  readonly requestId: string
  readonly route: Route | undefined
  /** set once the client is proved */
  caller: VerifiedSvid | undefined
}

class HttpHandler {
  readonly #options: HttpServerOptions
  readonly #limiter: RateLimiter
  readonly #large: RateLimiter

  constructor(options: HttpServerOptions) {
    this.#options = options
    this.#limiter = new RateLimiter(options.clock, RATE)
    this.#large = new RateLimiter(options.clock, LARGE_RATE)
  }

  async handle(message: IncomingMessage, response: ServerResponse): Promise<void> {
    // The connection was destroyed when it was resumed; nothing that it had sent already is served either.
    if ((message.socket as TLSSocket).isSessionReused()) return
    const requestId = randomUUID()
    const route = this.#route(message)
    const asked: Asked = { requestId, route, caller: undefined }
    let answer: HttpResponse
    try {
      answer = await this.#answer(message, asked)
    } catch (error) {
      const path = route?.path ?? 'unknown'
      this.#report(error, { requestId, path })
      await this.#options.refused({ requestId, path, caller: asked.caller }, error)
      answer = (route?.failure ?? plainFailure)(error, requestId)
    }
    send(response, answer, requestId)
    // A body that was not read to its end must not be taken for the next request.
    if (!message.complete) message.destroy()
  }

  async #answer(message: IncomingMessage, asked: Asked): Promise<HttpResponse> {
    const { requestId, route } = asked
    const socket = message.socket as TLSSocket
    const remote = socket.remoteAddress ?? ''
    if (!this.#limiter.take(remote)) throw new ZtError('ZT-429-RATE', 'too many requests from this address')
    if (route === undefined)
      return jsonResponse({ code: 'ZT-400-MALFORMED', message: 'no such path', requestId }, 404)
    if (message.method !== route.method)
      return jsonResponse({ code: 'ZT-400-MALFORMED', message: 'wrong method', requestId }, 405)
    if (route.accepts !== undefined) requireContentType(message, route.accepts)
    const body = await readBody(message, {
      maxBytes: route.maxBytes ?? MAX_BODY_BYTES,
      whenLarge: () => this.#requireFewLarge(remote),
    })
    const request: HttpRequest = {
      requestId,
      path: message.url ?? '',
      body,
      remote,
      client: () => {
        asked.caller = this.#options.authenticate(clientChain(socket))
        return asked.caller
      },
    }
    return route.handle(request)
  }

  #requireFewLarge(remote: string): void {
    if (!this.#large.take(remote))
      throw new ZtError('ZT-429-RATE', 'too many large requests from this address')
  }

  #route(message: IncomingMessage): Route | undefined {
    const path = message.url ?? ''
    const [bare] = path.split('?', 1)
    return this.#options.routes.find((route) =>
      route.path.endsWith('/*')
        ? path.startsWith(route.path.slice(0, -1))
        : route.path === (route.query === true ? bare : path),
    )
  }

  #report(error: unknown, fields: { requestId: string; path: string }): void {
    const { log } = this.#options
    if (error instanceof ZtError && statusOf(error.code) < 500)
      log.info('request refused', { ...fields, code: error.code })
    else log.error('request failed', { ...fields, error })
  }
}

function send(response: ServerResponse, answer: HttpResponse, requestId: string): void {
  if (response.destroyed) return
  const body = Buffer.from(answer.body)
  response.writeHead(answer.status, {
    ...HEADERS,
    ...answer.headers,
    'content-type': answer.contentType,
    'content-length': body.length,
    'zt-request-id': requestId,
  })
  response.end(body)
}

function refuseResumption(socket: TLSSocket): void {
  if (socket.isSessionReused()) socket.destroy()
}

function listening(server: Server, { host, port }: { host: string; port: number }): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.removeListener('error', reject)
      resolve((server.address() as AddressInfo).port)
    })
  })
}

/** Serves until it is closed. Rejects if the address cannot be had. */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const handler = new HttpHandler(options)
  const server = createServer(
    // Joining clients have no certificate yet, so none is demanded here: each route says whether it needs one.
    { ...secureOptions(options.tls), ...LIMITS, requestCert: true, rejectUnauthorized: false },
    (message, response) => {
      handler.handle(message, response).catch((error: unknown) => {
        options.log.error('request handler failed', { error })
        response.destroy()
      })
    },
  )
  server.maxConnections = MAX_CONNECTIONS
  const limit = new ConnectionLimit(MAX_CONNECTIONS_EACH)
  server.on('connection', (socket) => limit.admit(socket))
  server.on('secureConnection', refuseResumption)
  const port = await listening(server, options.listen)
  return {
    port,
    setTls: (tls) => server.setSecureContext(secureOptions(tls)),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        options.clock.after(CLOSE_GRACE_MS, () => server.closeAllConnections())
      }),
  }
}
