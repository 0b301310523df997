// The bundle endpoint (SPIFFE Federation §5): one address that answers everybody with our newest bundle document. What it
// says is public, so it asks nobody who they are; it has a listener of its own, so that a flood here reaches nothing else.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { SecureContextOptions } from 'node:tls'
import type { Clock } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'
import { ConnectionLimit } from '../http/connection-limit.ts'
import type { TlsMaterial } from '../http/server.ts'
import { RateLimiter } from '../rate-limit.ts'

export interface BundleEndpointOptions {
  readonly listen: { readonly host: string; readonly port: number }
  readonly path: string
  readonly tls: TlsMaterial
  readonly document: () => Promise<string>
  readonly clock: Clock
  readonly log: Logger
}

export interface BundleEndpoint {
  readonly port: number
  /** New connections get the new certificate. Throws if certificate and key do not fit: the old ones stay. */
  setTls(tls: TlsMaterial): void
  close(): Promise<void>
}

// Federation §5 asks for what Mozilla calls intermediate compatibility: TLS 1.2 and 1.3, ephemeral keys, AEAD.
const SECURE = {
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
  ciphers: [
    'TLS_AES_128_GCM_SHA256',
    'TLS_AES_256_GCM_SHA384',
    'TLS_CHACHA20_POLY1305_SHA256',
    'ECDHE-ECDSA-AES128-GCM-SHA256',
    'ECDHE-RSA-AES128-GCM-SHA256',
    'ECDHE-ECDSA-AES256-GCM-SHA384',
    'ECDHE-RSA-AES256-GCM-SHA384',
    'ECDHE-ECDSA-CHACHA20-POLY1305',
    'ECDHE-RSA-CHACHA20-POLY1305',
  ].join(':'),
} satisfies SecureContextOptions

const LIMITS = {
  maxHeaderSize: 8 * 1024,
  headersTimeout: 10_000,
  requestTimeout: 10_000,
  keepAliveTimeout: 5000,
  handshakeTimeout: 10_000,
} as const
const MAX_CONNECTIONS = 1000
/** From one address. */
const MAX_CONNECTIONS_EACH = 64
const RATE = { burst: 60, perSecond: 10 }
const CLOSE_GRACE_MS = 1000

const HEADERS = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  // A body that somebody sends is not read, so nothing may follow it on the connection.
  connection: 'close',
} as const

class Handler {
  readonly #options: BundleEndpointOptions
  readonly #limiter: RateLimiter

  constructor(options: BundleEndpointOptions) {
    this.#options = options
    this.#limiter = new RateLimiter(options.clock, RATE)
  }

  async handle(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const refusal = this.#refusal(message)
    if (refusal === undefined) send(response, 200, await this.#options.document())
    else send(response, refusal)
  }

  #refusal(message: IncomingMessage): number | undefined {
    if (!this.#limiter.take(message.socket.remoteAddress ?? '')) return 429
    if ((message.url ?? '').split('?')[0] !== this.#options.path) return 404
    return message.method === 'GET' ? undefined : 405
  }
}

// §5.2.1.3: UTF-8, application/json.
function send(response: ServerResponse, status: number, document: string = ''): void {
  const body = Buffer.from(document)
  const type = body.length === 0 ? {} : { 'content-type': 'application/json' }
  response.writeHead(status, { ...HEADERS, ...type, 'content-length': body.length })
  response.end(body)
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

/** Serves until it is closed. Rejects if the address cannot be had or the certificate cannot be used. */
export async function startBundleEndpoint(options: BundleEndpointOptions): Promise<BundleEndpoint> {
  const { clock, log, tls, listen } = options
  const handler = new Handler(options)
  // §5.2.1.3, §5.2.2.3: no client certificate is asked for.
  const server = createServer({ ...SECURE, ...LIMITS, ...tls }, (message, response) => {
    handler.handle(message, response).catch((error: unknown) => {
      log.error('the bundle could not be served', { error })
      response.destroy()
    })
  })
  server.maxConnections = MAX_CONNECTIONS
  const limit = new ConnectionLimit(MAX_CONNECTIONS_EACH)
  server.on('connection', (socket) => limit.admit(socket))
  const port = await listening(server, listen)
  return {
    port,
    setTls: (next) => server.setSecureContext({ ...SECURE, ...next }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        clock.after(CLOSE_GRACE_MS, () => server.closeAllConnections())
      }),
  }
}
