// What was agreed when the node joined. Written once, when the hub has admitted it; with it the node knows its hub again.
import { object, integer, literal, parsed, string, type Parser } from '#shared/encoding/shape.ts'
import { canonicalJson } from '#shared/encoding/canonical-json.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { ZtError, isZtError } from '#shared/errors/error.ts'
import { parseNodeName, parseTrustDomain, type NodeName, type TrustDomain } from '#shared/identity/names.ts'
import { nodeId, parseSpiffeId, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import { createSecretFile, readSecretFile } from './secret-file.ts'

const noteKey = object({
  origin: string({ min: 1, max: 200, pattern: /^[\x21-\x2a\x2c-\x7e]+$/ }),
  vkey: string({ min: 1, max: 300, pattern: /^[\x21-\x7e]+$/ }),
})

export interface Membership {
  readonly v: 1
  /** `https://host:port` */
  readonly hub: string
  readonly hubId: SpiffeId
  readonly td: TrustDomain
  readonly node: NodeName
  readonly id: SpiffeId
  /** of this node's own log; a new joining begins a new one */
  readonly logOrigin: string
  /** the hub's log, to which this node's heads are anchored */
  readonly hubLog: { readonly origin: string; readonly vkey: string }
  /** UTC, milliseconds */
  readonly joined: number
}

const parse: Parser<Membership> = object({
  v: literal(1),
  hub: string({ min: 1, max: 300, pattern: /^https:\/\/[A-Za-z0-9.[\]:-]+$/ }),
  hubId: parsed(parseSpiffeId),
  td: parsed(parseTrustDomain),
  node: parsed(parseNodeName),
  id: parsed(parseSpiffeId),
  logOrigin: string({ min: 1, max: 200, pattern: /^[A-Za-z0-9._~/-]+$/ }),
  hubLog: noteKey,
  joined: integer({ min: 0 }),
})

/** The membership at `path`, or undefined before the node has joined. ZT-400-CONFIG if it is not one. */
export function loadMembership(path: string): Membership | undefined {
  const bytes = readSecretFile(path)
  if (bytes === undefined) return undefined
  try {
    const membership = parse(parseStrictJson(bytes, { maxBytes: 16 * 1024 }), '')
    if (membership.id === nodeId(membership.td, membership.node)) return membership
  } catch (cause) {
    if (!isZtError(cause)) throw cause
    throw new ZtError('ZT-400-CONFIG', `${path}: ${cause.message}`, { cause })
  }
  throw new ZtError('ZT-400-CONFIG', `${path}: field "id" is not that of the node`)
}

/** ZT-409-EXISTS if the node has joined already. */
export function createMembership(path: string, membership: Membership): void {
  createSecretFile(path, canonicalJson(parse(membership, '')))
}
