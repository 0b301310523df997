// HTTPS to one hub, for what comes before there is an identity. TLS 1.3, the mesh's roots as the only authorities, and
// the hub's exact SPIFFE ID: the host name proves nothing here and is not looked at. No session is ever resumed,
// because a resumed one skips the check of the certificate.
import type { ClientRequest, IncomingMessage } from 'node:http'
import { Agent, request, type RequestOptions } from 'node:https'
import type { PeerCertificate } from 'node:tls'

import type { JsonValue } from '#shared/encoding/json-value.ts'
import { integer, object, optional, record, string, unparsed } from '#shared/encoding/shape.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { ZtError, fromWireError, isZtError, type ErrorDetails } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import { MAX_ADMISSION_ANSWER_BYTES } from '#shared/protocol/admission.ts'
import { certificatesToPem } from '#shared/x509/pem.ts'
import type { SvidValidator } from '#shared/x509/svid.ts'

export interface HubAddress {
  /** `https://host:port` */
  readonly url: string
  readonly hubId: SpiffeId
}

export interface HubHttpsOptions extends HubAddress {
  readonly trust: SvidValidator
  readonly clock: Clock
}

const TIMEOUT_MS = 15_000

/** Nothing of what a peer says is believed because of this connection: used once, for text that proves itself. */
const UNPROVEN = { rejectUnauthorized: false } as const

/**
 * The signed trust bundle as the hub offers it, from a peer that has proved nothing yet: the caller opens it with the
 * pinned root. Errors: ZT-503-HUB, ZT-422-SCHEMA.
 */
export async function fetchBundle(url: string, clock: Clock): Promise<JsonValue> {
  return (await exchange({ url: `${url}/v1/bundle`, clock, tls: UNPROVEN })).value
}

/**
 * The bundles that follow the one of that sequence number, from a peer that has proved nothing yet: the caller proves each
 * by the one before it. Errors: ZT-503-HUB, ZT-413-SIZE, ZT-422-SCHEMA, and what a hub of an earlier release answers.
 */
export async function fetchBundles(url: string, after: number, clock: Clock): Promise<JsonValue> {
  return (await exchange({ url: `${url}/v1/bundles?from=${after}`, clock, tls: UNPROVEN })).value
}

/**
 * The time that an unproven hub shows, in milliseconds to a second's exactness, or undefined if it shows none: for
 * telling a person about clocks, and for nothing else. Errors: ZT-503-HUB, ZT-422-SCHEMA.
 */
export async function fetchHubTime(url: string, clock: Clock): Promise<number | undefined> {
  return (await exchange({ url: `${url}/v1/bundle`, clock, tls: UNPROVEN })).dateMs
}

export class HubHttps {
  readonly #options: HubHttpsOptions

  constructor(options: HubHttpsOptions) {
    this.#options = options
  }

  /** The hub's answer. Errors: ZT-401-CERT (not the hub), ZT-503-HUB (no answer), or the code that the hub gave. */
  async post(path: string, body: unknown): Promise<JsonValue> {
    const { url, clock, trust } = this.#options
    const tls = {
      ca: certificatesToPem(trust.bundle.roots.map((root) => root.der)),
      rejectUnauthorized: true,
      checkServerIdentity: (_host: string, certificate: PeerCertificate) => this.#refusal(certificate),
    }
    return (await exchange({ url: `${url}${path}`, clock, tls, body: JSON.stringify(body) })).value
  }

  #refusal(certificate: PeerCertificate): Error | undefined {
    const { trust, clock, hubId } = this.#options
    try {
      const { id } = trust.validate(chainOf(certificate), clock.now())
      if (id === hubId) return undefined
      return new ZtError('ZT-401-CERT', 'the hub has another identity than the expected one', {
        details: { reason: 'server-identity', server: id, expected: hubId },
      })
    } catch (error) {
      if (isZtError(error)) return error
      return new ZtError('ZT-500-INTERNAL', 'the hub could not be checked', { cause: error })
    }
  }
}

/** Leaf and intermediate as the hub sent them; Node links them up to the root, which the validator has itself. */
function chainOf(leaf: PeerCertificate & { issuerCertificate?: PeerCertificate }): Uint8Array[] {
  const intermediate = leaf.issuerCertificate
  return intermediate === undefined ? [leaf.raw] : [leaf.raw, intermediate.raw]
}

interface Exchange {
  readonly url: string
  readonly clock: Clock
  readonly tls: RequestOptions
  /** JSON; a GET without it */
  readonly body?: string
}

interface Answer {
  readonly value: JsonValue
  readonly dateMs: number | undefined
}

async function exchange({ url, clock, tls, body }: Exchange): Promise<Answer> {
  // An agent of its own, without keep-alive: a connection lives for one exchange, so none outlives its certificate.
  const agent = new Agent({ keepAlive: false, maxCachedSessions: 0, minVersion: 'TLSv1.3' })
  const abandoned = new AbortController()
  const timer = clock.after(TIMEOUT_MS, () => abandoned.abort())
  const options: RequestOptions = {
    ...tls,
    agent,
    method: body === undefined ? 'GET' : 'POST',
    headers:
      body === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
    signal: abandoned.signal,
  }
  try {
    const response = await answerOf(request(url, options), body)
    const text = await readAll(response)
    return { value: judge(response.statusCode ?? 0, text), dateMs: dateOf(response) }
  } catch (cause) {
    if (isZtError(cause)) throw cause
    throw new ZtError('ZT-503-HUB', 'the hub does not answer', { cause })
  } finally {
    timer.cancel()
    agent.destroy()
  }
}

function answerOf(sent: ClientRequest, body: string | undefined): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    sent.on('response', resolve)
    sent.on('error', reject)
    sent.end(body)
  })
}

async function readAll(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > MAX_ADMISSION_ANSWER_BYTES)
      throw new ZtError('ZT-413-SIZE', 'the answer of the hub is too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

function dateOf(response: IncomingMessage): number | undefined {
  const at = Date.parse(response.headers.date ?? '')
  return Number.isNaN(at) ? undefined : at
}

const detail = (value: unknown, path: string): string | number =>
  typeof value === 'number'
    ? integer({ min: -Number.MAX_SAFE_INTEGER })(value, path)
    : string({ max: 512 })(value, path)

const wireError = object({
  code: string({ max: 64 }),
  message: string({ max: 1024 }),
  requestId: unparsed,
  details: optional(record(/^[A-Za-z0-9_]{1,64}$/, detail, { max: 32 })),
})

function judge(status: number, text: Buffer): JsonValue {
  const value = parseStrictJson(text, { maxBytes: MAX_ADMISSION_ANSWER_BYTES })
  if (status === 200) return value
  const { code, message, details } = wireError(value, 'answer')
  const known: ErrorDetails = { ...details }
  throw fromWireError({ code, message, details: known })
}
