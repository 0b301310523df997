// One HTTP request as a handler sees it, and the answer that it gives. A handler gets bytes that were capped, a type
// that was checked and, where the route wants one, a client certificate that holds now, not when it connected.
import type { VerifiedSvid } from '#shared/x509/svid.ts'

export interface HttpRequest {
  readonly requestId: string
  readonly path: string
  readonly body: Uint8Array
  /** address of the peer: for limits only, it proves nothing */
  readonly remote: string
  /** The SVID of the client, valid now and not denied. Throws ZT-401-CERT or ZT-403-REVOKED. */
  client(): VerifiedSvid
}

export interface HttpResponse {
  readonly status: number
  readonly contentType: 'application/json' | 'text/plain; charset=utf-8' | 'application/octet-stream'
  readonly body: Uint8Array | string
  readonly headers?: Readonly<Record<string, string>>
}

export interface Route {
  readonly method: 'GET' | 'POST'
  /** exact path, or a prefix that ends with a slash and a star */
  readonly path: string
  /** true: what follows a question mark is the route's own */
  readonly query?: true
  /** media type of the body that the route takes; none for GET */
  readonly accepts?: 'application/json' | 'application/x-www-form-urlencoded'
  /** of the body, 64 KiB unless given */
  readonly maxBytes?: number
  readonly handle: (request: HttpRequest) => Promise<HttpResponse>
  /** Says a failure in the route's own words; without it the answer is the plain wire error. */
  readonly failure?: (error: unknown, requestId: string) => HttpResponse
}

export function jsonResponse(value: unknown, status = 200): HttpResponse {
  return { status, contentType: 'application/json', body: JSON.stringify(value) }
}
