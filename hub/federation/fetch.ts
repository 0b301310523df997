// One GET of a bundle endpoint (SPIFFE Federation §5.2): the server proves itself before anything is asked of it, and
// wherever a redirect leads, it has to prove the same. Nothing is remembered from one fetch to the next.
import { request, type IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import { connect, type DetailedPeerCertificate, type TLSSocket } from 'node:tls'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import { MAX_BUNDLE_DOCUMENT_BYTES } from '#shared/spiffe/bundle-document.ts'
import { resolveEndpointUrl } from './endpoint-url.ts'

/** How the server proves itself. */
export type EndpointProof =
  /** PEM certificates of the authorities; the name is that of the address (RFC 6125) */
  | { readonly kind: 'https_web'; readonly authorities: readonly string[] }
  /** `identify` proves whose a chain (DER, leaf first) is now, or throws ZT-401-CERT */
  | {
      readonly kind: 'https_spiffe'
      readonly expected: SpiffeId
      readonly identify: (chain: readonly Uint8Array[]) => SpiffeId
    }

export interface FetchOrder {
  readonly url: URL
  readonly proof: EndpointProof
  readonly clock: Clock
}

const TIMEOUT_MS = 20_000
const MAX_REDIRECTS = 5
const MAX_CHAIN = 10
const REDIRECTS: ReadonlySet<number | undefined> = new Set([301, 302, 303, 307, 308])

/**
 * The body that the endpoint answers with. ZT-401-FEDERATION (details.reason: certificate, server-identity, redirect) if
 * the server did not prove itself or led to what is no bundle endpoint; ZT-413-SIZE; ZT-503-FEDERATION.
 */
export async function fetchBundleText(order: FetchOrder): Promise<Uint8Array> {
  const abandoned = new AbortController()
  const timer = order.clock.after(TIMEOUT_MS, () => abandoned.abort())
  try {
    return await follow(order, abandoned.signal)
  } catch (cause) {
    if (isZtError(cause)) throw cause
    throw new ZtError('ZT-503-FEDERATION', 'the bundle endpoint does not answer', { cause })
  } finally {
    timer.cancel()
  }
}

async function follow({ url, proof }: FetchOrder, signal: AbortSignal): Promise<Uint8Array> {
  let place = url
  for (let hop = 0; hop <= MAX_REDIRECTS; hop += 1) {
    const answer = await get(place, proof, signal)
    if (answer.kind === 'body') return answer.body
    place = redirected(answer.location, place)
  }
  throw refuse('redirect', 'the bundle endpoint redirects without end')
}

/** §5.2.1.4, §5.2.2.4: followed only if the target meets the requirements of a bundle endpoint's address. */
function redirected(location: string, from: URL): URL {
  try {
    return resolveEndpointUrl(location, from)
  } catch (cause) {
    throw refuse('redirect', 'the bundle endpoint redirects to what cannot be a bundle endpoint', cause)
  }
}

type Answer =
  | { readonly kind: 'body'; readonly body: Uint8Array }
  | { readonly kind: 'redirect'; readonly location: string }

async function get(url: URL, proof: EndpointProof, signal: AbortSignal): Promise<Answer> {
  const socket = await proven(url, proof, signal)
  try {
    const response = await ask(url, socket, signal)
    const { statusCode, headers } = response
    if (REDIRECTS.has(statusCode) && headers.location !== undefined)
      return { kind: 'redirect', location: headers.location }
    if (statusCode !== 200)
      throw new ZtError('ZT-503-FEDERATION', `the bundle endpoint answers with status ${statusCode ?? 0}`)
    return { kind: 'body', body: await readAll(response) }
  } finally {
    socket.destroy()
  }
}

/** A connection to a server that has proved what `proof` asks for. */
async function proven(url: URL, proof: EndpointProof, signal: AbortSignal): Promise<TLSSocket> {
  const socket = await secured(url, proof, signal)
  if (proof.kind === 'https_web') return socket
  try {
    requireIdentity(proof.identify(chainOf(socket)), proof.expected)
    return socket
  } catch (error) {
    socket.destroy()
    if (!isZtError(error, 'ZT-401-CERT')) throw error
    throw refuse('certificate', `the bundle endpoint did not prove itself: ${error.message}`, error)
  }
}

function requireIdentity(shown: SpiffeId, expected: SpiffeId): void {
  // The name in the address proves nothing here: X509-SVID §5.2, Federation §5.2.2.4.
  if (shown === expected) return
  throw new ZtError('ZT-401-FEDERATION', 'the bundle endpoint has another identity than the configured one', {
    details: { reason: 'server-identity', server: shown, expected },
  })
}

function secured(url: URL, proof: EndpointProof, signal: AbortSignal): Promise<TLSSocket> {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const socket = connect({
    host,
    port: url.port === '' ? 443 : Number(url.port),
    ...(isIP(host) === 0 && { servername: host }),
    // Federation §5: what Mozilla calls intermediate compatibility.
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['http/1.1'],
    // For SPIFFE no authority is given to OpenSSL: whose the chain is, our own validation says. No session is kept,
    // so none is resumed: a resumed one would skip the check of the certificate.
    ca: proof.kind === 'https_web' ? [...proof.authorities] : [],
    rejectUnauthorized: proof.kind === 'https_web',
  })
  return new Promise((resolve, reject) => {
    const abandon = (): void => void socket.destroy(new Error('the fetch took too long'))
    signal.addEventListener('abort', abandon, { once: true })
    socket.once('error', (error) => reject(connectionError(socket, error)))
    socket.once('secureConnect', () => resolve(socket))
    if (signal.aborted) abandon()
  })
}

function connectionError(socket: TLSSocket, error: Error): Error {
  // Typed as an error, and a code; null where the handshake failed before any certificate was judged.
  const why: unknown = socket.authorizationError
  return typeof why === 'string'
    ? refuse('certificate', `the bundle endpoint did not prove itself: ${why.slice(0, 64)}`, error)
    : error
}

/** The certificates that the server sent, by issuer, as far as they link up. */
function chainOf(socket: TLSSocket): Uint8Array[] {
  const chain: Uint8Array[] = []
  let certificate: Partial<DetailedPeerCertificate> | undefined = socket.getPeerCertificate(true)
  while (certificate?.raw !== undefined && chain.length < MAX_CHAIN) {
    chain.push(certificate.raw)
    const issuer: DetailedPeerCertificate | undefined = certificate.issuerCertificate
    certificate = issuer === certificate ? undefined : issuer
  }
  return chain
}

function ask(url: URL, socket: TLSSocket, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const sent = request({
      createConnection: () => socket,
      path: `${url.pathname}${url.search}`,
      headers: { host: url.host, accept: 'application/json', connection: 'close' },
      signal,
    })
    sent.on('response', resolve)
    sent.on('error', reject)
    sent.end()
  })
}

async function readAll(response: IncomingMessage): Promise<Uint8Array> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > MAX_BUNDLE_DOCUMENT_BYTES)
      throw new ZtError('ZT-413-SIZE', `the bundle is over ${MAX_BUNDLE_DOCUMENT_BYTES} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function refuse(reason: string, message: string, cause?: unknown): ZtError {
  return new ZtError('ZT-401-FEDERATION', message, { cause, details: { reason } })
}
