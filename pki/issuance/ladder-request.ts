// The request for a ladder: the public keys of the next days' intermediates, two a rung, each with a proof that the hub
// holds the private key for this very slot. Modelled on the key-signing requests of the DNSSEC root (IANA KSR).
import { sign, verify, type KeyObject } from 'node:crypto'
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { sha256 } from '#shared/encoding/digest.ts'
import {
  array,
  bytes,
  integer,
  literal,
  nullable,
  object,
  parsed,
  string,
  type Parser,
} from '#shared/encoding/shape.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { parseTrustDomain, type TrustDomain } from '#shared/identity/names.ts'
import { parseSpiffeId, principalKind, trustDomainOf, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import { ecPublicKey } from '#shared/x509/ec-spki.ts'
import { RUNG_MS } from './profile.ts'

export const ROLES = ['workload', 'infra'] as const
export type Role = (typeof ROLES)[number]

export interface Slot {
  /** counts on from the previous ladder */
  readonly index: number
  /** UTC, milliseconds, whole seconds: the time in which the rung issues, without its end */
  readonly from: number
  readonly until: number
}

export interface RequestedKey {
  /** DER SubjectPublicKeyInfo, P-256 */
  readonly spki: Uint8Array
  /** DER signature of possessionBytes() by that key */
  readonly pop: Uint8Array
}

export type RequestedRung = Slot & Readonly<Record<Role, RequestedKey>>

export interface LadderHead {
  readonly trustDomain: TrustDomain
  /** who asks */
  readonly hub: SpiffeId
  /** hex of 32 random octets */
  readonly nonce: string
  /** hex SHA-256 of the response that this ladder continues; null: it begins anew */
  readonly previous: string | null
}

export interface LadderRequest extends LadderHead {
  readonly rungs: readonly RequestedRung[]
}

export const MAX_RUNGS = 30
/** Below this many rungs the hub raises an alarm. */
export const ALARM_RUNGS = 3
export const DEFAULT_RUNGS = 7

const MAX_BYTES = 64 * 1024
const PURPOSE = 'ztmesh-ladder-pop-v1'
const HEX_256 = string({ min: 64, max: 64, pattern: /^[0-9a-f]{64}$/ })
const requestedKey = object({ spki: bytes({ min: 91, max: 91 }), pop: bytes({ min: 8, max: 72 }) })

export const parseSeconds: Parser<number> = (value, path) =>
  integer({ min: 0, max: 4_102_444_800 })(value, path) * 1000

const parseShape = object({
  type: literal('zt-ladder-request'),
  v: literal(1),
  td: parsed(parseTrustDomain),
  hub: parsed(parseSpiffeId),
  nonce: HEX_256,
  previous: nullable(HEX_256),
  rungs: array(
    object({
      index: integer({ min: 0, max: 1_000_000 }),
      from: parseSeconds,
      until: parseSeconds,
      workload: requestedKey,
      infra: requestedKey,
    }),
    { min: 1, max: MAX_RUNGS },
  ),
})

/**
 * Reads a request and checks all that it says about itself: the hub is one of the trust domain, slots of 24 hours
 * without gap or overlap, no key twice, and possession of every key. Throws ZT-422-CEREMONY naming the check.
 */
export function parseLadderRequest(content: Uint8Array): LadderRequest {
  const { td, hub, nonce, previous, rungs } = shape(content, parseShape, 'ladder request')
  const request: LadderRequest = Object.freeze({ trustDomain: td, hub, nonce, previous, rungs })
  checkHub(request)
  checkSlots(rungs)
  checkUniqueKeys(rungs)
  for (const rung of rungs) for (const role of ROLES) checkPossession(request, rung, role)
  return request
}

/** The file of a request: canonical JSON, so that its digest is that of its content. */
export function encodeLadderRequest(request: LadderRequest): Uint8Array {
  return canonicalBytes({
    type: 'zt-ladder-request',
    v: 1,
    td: request.trustDomain,
    hub: request.hub,
    nonce: request.nonce,
    previous: request.previous,
    rungs: request.rungs.map(({ index, from, until, ...keys }) => ({
      ...encodeSlot({ index, from, until }),
      ...Object.fromEntries(ROLES.map((role) => [role, encodeKey(keys[role])])),
    })),
  })
}

/** Signs for `key` that its holder asks for this slot of this ladder with it. */
export function provePossession(
  head: LadderHead,
  slot: Slot,
  key: { role: Role; spki: Uint8Array; privateKey: KeyObject },
): RequestedKey {
  const { role, spki, privateKey } = key
  const pop = sign('sha256', possessionBytes(head, slot, { role, spki }), {
    key: privateKey,
    dsaEncoding: 'der',
  })
  return { spki, pop }
}

/** Throws ZT-422-CEREMONY (check-slots) unless the slots are 24 hours each, one after the other. */
export function checkSlots(slots: readonly Slot[]): void {
  for (const [at, slot] of slots.entries()) {
    const before = slots[at - 1]
    if (slot.until - slot.from !== RUNG_MS) throw broken('check-slots', 'a slot is not 24 hours long')
    if (before !== undefined && slot.from !== before.until)
      throw broken('check-slots', 'slots have a gap or overlap')
    if (before !== undefined && slot.index !== before.index + 1)
      throw broken('check-slots', 'slots do not count on')
  }
}

export function encodeSlot({ index, from, until }: Slot): { index: number; from: number; until: number } {
  return { index, from: from / 1000, until: until / 1000 }
}

/** Lower-case hex SHA-256 of a file: how requests and responses name each other. */
export function fileDigest(content: Uint8Array): string {
  return Buffer.from(sha256(content)).toString('hex')
}

/** Parses the JSON of a ladder file; ZT-422-CEREMONY naming the field. */
export function shape<T>(content: Uint8Array, parse: Parser<T>, what: string): T {
  try {
    return parse(parseStrictJson(content, { maxBytes: MAX_BYTES }), '')
  } catch (error) {
    if (!isZtError(error)) throw error
    throw new ZtError('ZT-422-CEREMONY', `${what}: ${error.message}`, { cause: error })
  }
}

export function broken(check: string, what: string, cause?: unknown): ZtError {
  return new ZtError('ZT-422-CEREMONY', `${check}: ${what}`, { cause, details: { check } })
}

function checkHub({ hub, trustDomain }: LadderHead): void {
  if (trustDomainOf(hub) !== trustDomain || principalKind(hub) !== 'hub') {
    throw broken('check-hub', 'the requester is not a hub of the trust domain')
  }
}

function checkUniqueKeys(rungs: readonly RequestedRung[]): void {
  const keys = rungs.flatMap((rung) => ROLES.map((role) => encodeBase64url(rung[role].spki)))
  if (new Set(keys).size !== keys.length) throw broken('check-unique-keys', 'a key is asked for twice')
}

function checkPossession(head: LadderHead, rung: RequestedRung, role: Role): void {
  const { spki, pop } = rung[role]
  if (!isProved(possessionBytes(head, rung, { role, spki }), spki, pop)) {
    throw broken('check-possession', `rung ${rung.index} does not prove its ${role} key`)
  }
}

function isProved(data: Uint8Array, spki: Uint8Array, pop: Uint8Array): boolean {
  try {
    return verify('sha256', data, { key: ecPublicKey(spki, 'P-256'), dsaEncoding: 'der' }, pop)
  } catch (error) {
    throw broken('check-possession', 'a key is not a P-256 key', error)
  }
}

function possessionBytes(head: LadderHead, slot: Slot, key: { role: Role; spki: Uint8Array }): Uint8Array {
  return canonicalBytes({
    purpose: PURPOSE,
    td: head.trustDomain,
    hub: head.hub,
    nonce: head.nonce,
    previous: head.previous,
    ...encodeSlot(slot),
    role: key.role,
    spki: encodeBase64url(key.spki),
  })
}

function encodeKey({ spki, pop }: RequestedKey): { spki: string; pop: string } {
  return { spki: encodeBase64url(spki), pop: encodeBase64url(pop) }
}
