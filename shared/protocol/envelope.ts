// A command to a node, or a request to the hub: signed by the sender's SVID, then sealed to the receiver's key. The
// steps of opening one are separate functions, in the order of the checks 1 to 8 that every receiver runs.
import { randomUUID, type KeyObject } from 'node:crypto'
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import { array, literal, object, oneOf, unparsed, type Parser } from '#shared/encoding/shape.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { ZtError } from '#shared/errors/error.ts'
import { signerOf, type HeldIdentity, type Identity } from '#shared/identity/identity.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import { openJwe, sealJwe } from '#shared/jose/jwe.ts'
import { parseJws, signJwsWith, verifyJws, type ParsedJws } from '#shared/jose/jws.ts'
import type { SvidValidator, VerifiedSvid } from '#shared/x509/svid.ts'
import { parseCommand, type Command } from './command.ts'
import type { DenyList } from './deny-list.ts'
import type { EncKey } from './enc-key.ts'
import { bytes32Field, compactField, secondsField, spiffeIdField, subjectField, uuidField } from './fields.ts'
import { HUB_OPS, type HubOp } from './hub-ops.ts'
import { inboxPrefix, natsChannel } from './subjects.ts'

export const ENVELOPE_TYP = 'zt-env+jwe'
export const COMMAND_TYP = 'zt-cmd+jws'
export const HUB_TYP = 'zt-hub+jws'
/** Bytes of a sealed envelope, at most. */
export const MAX_ENVELOPE_BYTES: number = 64 * 1024

export type InnerTyp = typeof COMMAND_TYP | typeof HUB_TYP

/** What both kinds of envelope say about themselves. */
export interface EnvelopeHead {
  readonly v: 1
  readonly iss: SpiffeId
  readonly aud: SpiffeId
  /** `nats:` and the subject it is sent on */
  readonly chan: string
  /** subject for the receipt, below the sender's own inbox */
  readonly reply: string
  /** base64url X25519 of the sender: the receipt is sealed to it */
  readonly replyKey: string
  readonly jti: string
  readonly nonce: string
  /** seconds since 1970 */
  readonly iat: number
  readonly exp: number
}

export interface CommandEnvelope extends EnvelopeHead {
  readonly cmd: Command
  /** capability token, and its digest */
  readonly tok: string
  readonly tth: string
  /** trust rings; this version refuses any */
  readonly chain: readonly string[]
}

export interface HubEnvelope extends EnvelopeHead {
  readonly op: HubOp
  /** read by parseHubParams() once the operation is known to be allowed for this kind of sender */
  readonly params: unknown
}

/** Who sends, to whom, and how the answer comes back. */
export interface EnvelopeRoute {
  readonly identity: Identity | HeldIdentity
  readonly to: EncKey
  readonly subject: string
  readonly reply: string
  /** 32 raw bytes */
  readonly replyKey: Uint8Array
  /** UTC, milliseconds */
  readonly now: number
  /** 30 unless given, 60 at most */
  readonly lifeSeconds?: number
}

export interface SealedEnvelope {
  readonly text: string
  readonly jti: string
  readonly nonce: string
  /** seconds since 1970 */
  readonly exp: number
}

/** A signature that holds, by an SVID that is valid and not denied; the payload is not parsed yet. */
export interface AuthenticEnvelope {
  readonly svid: VerifiedSvid
  readonly payload: Uint8Array
  /** base64url SHA-256 of the sealed text: what the audit row names */
  readonly sha256: string
}

export interface AuthenticationContext {
  readonly typ: InnerTyp
  readonly key: (kid: string) => KeyObject | undefined
  readonly trust: SvidValidator
  readonly deny: DenyList
  /** UTC, milliseconds */
  readonly now: number
}

const DEFAULT_LIFE_S = 30
const MAX_LIFE_S = 60
const MAX_SKEW_S = 30
// Rounding of seconds, and the time between the check and the insert.
const RETENTION_SLACK_S = 35

const head = {
  v: literal(1),
  iss: spiffeIdField,
  aud: spiffeIdField,
  chan: ((value, path) => natsChannel(subjectField(stripChannel(value), path))) as Parser<string>,
  reply: subjectField,
  replyKey: bytes32Field,
  jti: uuidField,
  nonce: uuidField,
  iat: secondsField,
  exp: secondsField,
}

const commandEnvelope: Parser<CommandEnvelope> = object({
  ...head,
  cmd: parseCommand,
  tok: compactField,
  tth: bytes32Field,
  chain: array(compactField, { max: 8 }),
})

const hubEnvelope: Parser<HubEnvelope> = object({ ...head, op: oneOf(HUB_OPS), params: unparsed })

/** A command and its token, sealed to a node. ZT-413-SIZE if it would be larger than a node accepts. */
export function sealCommand(
  route: EnvelopeRoute,
  content: { readonly cmd: Command; readonly tok: string },
): Promise<SealedEnvelope> {
  return seal(route, COMMAND_TYP, { ...content, tth: sha256Text(content.tok), chain: [] })
}

/** A request to the hub, sealed to it. ZT-413-SIZE if it would be larger than a hub accepts. */
export function sealHubRequest(
  route: EnvelopeRoute,
  content: { readonly op: HubOp; readonly params: unknown },
): Promise<SealedEnvelope> {
  return seal(route, HUB_TYP, content)
}

/** Checks 1 and 2, outer half: shape, size and decryption. ZT-400-MALFORMED, ZT-400-KID. */
export function openSealed(text: string, expected: Pick<AuthenticationContext, 'typ' | 'key'>): string {
  const { plaintext } = openJwe(text, {
    typ: ENVELOPE_TYP,
    cty: expected.typ,
    maxBytes: MAX_ENVELOPE_BYTES,
    key: expected.key,
  })
  return Buffer.from(plaintext).toString('latin1')
}

/** Checks 1 and 3, inner half: the JWS's shape, its type, and `x5t#S256` equal to the digest of its leaf. */
export function parseInner(text: string, typ: InnerTyp): ParsedJws {
  return parseJws(text, { typ, maxBytes: MAX_ENVELOPE_BYTES })
}

/**
 * Checks 1 to 5 in order. Errors: ZT-400-MALFORMED, ZT-400-KID, ZT-403-REVOKED, ZT-401-CERT, ZT-401-SIG. What fails
 * here has no known sender and gets no answer.
 */
export function authenticate(text: string, context: AuthenticationContext): AuthenticEnvelope {
  const jws = parseInner(openSealed(text, context), context.typ)
  context.deny.checkThumbprint(jws.thumbprint)
  const svid = context.trust.validate(jws.x5c, context.now)
  context.deny.check(svid)
  const payload = verifyJws(jws, svid.publicKey)
  return { svid, payload, sha256: sha256Text(text) }
}

/** Check 6: strict JSON and the closed schema. ZT-422-SCHEMA. */
export function readCommandEnvelope(payload: Uint8Array): CommandEnvelope {
  return commandEnvelope(parseStrictJson(payload, { maxBytes: MAX_ENVELOPE_BYTES }), '')
}

/** Check 6 for the hub: strict JSON and the closed schema around `params`. ZT-422-SCHEMA. */
export function readHubEnvelope(payload: Uint8Array): HubEnvelope {
  return hubEnvelope(parseStrictJson(payload, { maxBytes: MAX_ENVELOPE_BYTES }), '')
}

/**
 * Check 7: the message is from its signer, for me, sent on the subject it arrived on, and its answer goes to the
 * signer's own inbox. ZT-421-MISDIRECTED naming the field.
 */
export function checkDirection(
  envelope: EnvelopeHead,
  at: { readonly sender: SpiffeId; readonly me: SpiffeId; readonly subject: string },
): void {
  if (envelope.iss !== at.sender) throw misdirected('iss')
  if (envelope.aud !== at.me) throw misdirected('aud')
  if (envelope.chan !== natsChannel(at.subject)) throw misdirected('chan')
  if (!envelope.reply.startsWith(`${inboxPrefix(at.sender)}.`)) throw misdirected('reply')
}

/** Check 8: at most 30 s from now either way, a life of at most 60 s, and not over. ZT-408-STALE. `now` in ms. */
export function checkFreshness(time: {
  readonly iat: number
  readonly exp: number
  readonly now: number
}): void {
  const now = time.now / 1000
  if (Math.abs(now - time.iat) > MAX_SKEW_S) throw stale('field "iat" is too far from now')
  if (time.exp <= time.iat || time.exp - time.iat > MAX_LIFE_S)
    throw stale('lives for no time or for too long')
  if (now >= time.exp) throw stale('field "exp" has passed')
}

/** Check 8, own clock: refuses to judge time while the clock is behind its recorded past. ZT-408-CLOCK. Both in ms. */
export function checkClock(time: { readonly now: number; readonly highWater: number }): void {
  if (time.highWater > time.now + MAX_SKEW_S * 1000) {
    throw new ZtError('ZT-408-CLOCK', 'the clock went back behind its own recorded past')
  }
}

/**
 * Until when (UTC, ms) nonce and jti must be remembered: a sender 30 s ahead is still fresh 60 s after it was received,
 * so a flat minute would open a gap.
 */
export function retainUntil(time: { readonly iat: number; readonly exp: number }): number {
  return (Math.max(time.iat + MAX_SKEW_S, time.exp) + RETENTION_SLACK_S) * 1000
}

async function seal(route: EnvelopeRoute, typ: InnerTyp, content: object): Promise<SealedEnvelope> {
  const iat = Math.floor(route.now / 1000)
  const envelopeHead: EnvelopeHead = {
    v: 1,
    iss: route.identity.id,
    aud: route.to.owner,
    chan: natsChannel(route.subject),
    reply: route.reply,
    replyKey: encodeBase64url(route.replyKey),
    jti: randomUUID(),
    nonce: randomUUID(),
    iat,
    exp: iat + (route.lifeSeconds ?? DEFAULT_LIFE_S),
  }
  const payload = canonicalBytes({ ...envelopeHead, ...content })
  const inner = await signJwsWith({ typ, payload, signer: signerOf(route.identity) })
  const { kid, publicKey } = route.to
  const text = sealJwe(Buffer.from(inner, 'ascii'), { kid, publicKey, typ: ENVELOPE_TYP, cty: typ })
  if (text.length > MAX_ENVELOPE_BYTES) {
    throw new ZtError('ZT-413-SIZE', `message would be larger than ${MAX_ENVELOPE_BYTES} bytes`)
  }
  return { text, jti: envelopeHead.jti, nonce: envelopeHead.nonce, exp: envelopeHead.exp }
}

function stripChannel(value: unknown): unknown {
  return typeof value === 'string' && value.startsWith('nats:') ? value.slice('nats:'.length) : undefined
}

function misdirected(field: string): ZtError {
  return new ZtError('ZT-421-MISDIRECTED', `field "${field}" does not belong here`, { details: { field } })
}

function stale(what: string): ZtError {
  return new ZtError('ZT-408-STALE', `message ${what}`)
}
