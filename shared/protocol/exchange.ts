// Token exchange (RFC 8693) for one capability, asked for in authorization details (RFC 9396). The same fields arrive
// as a form over HTTPS and as JSON in a sealed request over NATS.
import { randomUUID } from 'node:crypto'
import type { JsonValue } from '#shared/encoding/json-value.ts'
import {
  array,
  integer,
  literal,
  object,
  oneOf,
  optional,
  refuseField,
  string,
  type Parser,
} from '#shared/encoding/shape.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { Identity } from '#shared/identity/identity.ts'
import type { ProcId } from '#shared/identity/names.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import type { VerifiedSvid } from '#shared/x509/svid.ts'
import {
  ACTIONS,
  actionOf,
  DETAIL_TYPE,
  parseDetail,
  type Action,
  type AuthorizationDetail,
} from './authorization.ts'
import { parseCommand, type Command } from './command.ts'
import { compactField, procIdField, secondsField, spiffeIdField, uuidField } from './fields.ts'
import { openSigned, signStatement, type SignedContext } from './signed.ts'

export const GRANT_TYPE = 'urn:ietf:params:oauth:grant-type:token-exchange'
export const JWT_TYPE = 'urn:ietf:params:oauth:token-type:jwt'
export const CAPABILITY_TYPE = 'urn:ztmesh:params:oauth:token-type:capability'
export const ID_TOKEN_TYP = 'zt-id+jws'
/** Bytes of a request in either form, at most. */
export const MAX_EXCHANGE_BYTES: number = 64 * 1024

/** What is asked for: the whole command, because policy judges it and the token binds its digest. */
export interface RequestedDetail {
  readonly type: typeof DETAIL_TYPE
  readonly actions: readonly Action[]
  readonly locations: readonly SpiffeId[]
  readonly identifier?: ProcId
  readonly cmd: Command
}

export interface ExchangeRequest {
  readonly grant_type: typeof GRANT_TYPE
  readonly subject_token: string
  readonly subject_token_type: typeof JWT_TYPE
  readonly requested_token_type: typeof CAPABILITY_TYPE
  readonly audience: SpiffeId
  readonly scope?: string
  readonly authorization_details: readonly RequestedDetail[]
}

export interface ExchangeResponse {
  readonly access_token: string
  readonly issued_token_type: typeof CAPABILITY_TYPE
  /** RFC 8693 §2.2.1: the token is not a bearer token */
  readonly token_type: 'N_A'
  readonly expires_in: number
  readonly scope: string
  readonly authorization_details: readonly AuthorizationDetail[]
  /** the encryption key of the node, vouched for by the node */
  readonly zt: { readonly node_key: string }
}

/** Who asks, said by the asker's own SVID: short-lived, for one hub. */
export interface IdTokenClaims {
  readonly iss: SpiffeId
  readonly sub: SpiffeId
  readonly aud: SpiffeId
  readonly jti: string
  readonly iat: number
  readonly exp: number
}

export interface VerifiedIdToken {
  readonly claims: IdTokenClaims
  readonly svid: VerifiedSvid
}

const ID_TOKEN_LIFE_S = 60
const MAX_SKEW_S = 30
const MAX_ID_TOKEN_BYTES = 8 * 1024

const requestedDetail: Parser<RequestedDetail> = object({
  type: literal(DETAIL_TYPE),
  actions: array(oneOf(ACTIONS), { min: 1, max: 1 }),
  locations: array(spiffeIdField, { min: 1, max: 1 }),
  identifier: optional(procIdField),
  cmd: parseCommand,
})

const request: Parser<ExchangeRequest> = object({
  grant_type: literal(GRANT_TYPE),
  subject_token: compactField,
  subject_token_type: literal(JWT_TYPE),
  requested_token_type: literal(CAPABILITY_TYPE),
  audience: spiffeIdField,
  scope: optional(string({ min: 1, max: 256, pattern: /^[\x21\x23-\x5b\x5d-\x7e]+$/ })),
  authorization_details: array(requestedDetail, { min: 1, max: 1 }),
})

const response: Parser<ExchangeResponse> = object({
  access_token: compactField,
  issued_token_type: literal(CAPABILITY_TYPE),
  token_type: literal('N_A'),
  expires_in: integer({ min: 1, max: 60 }),
  scope: string({ min: 1, max: 256 }),
  authorization_details: array(parseDetail, { min: 1, max: 1 }),
  zt: object({ node_key: compactField }),
})

const idToken: Parser<IdTokenClaims> = object({
  iss: spiffeIdField,
  sub: spiffeIdField,
  aud: spiffeIdField,
  jti: uuidField,
  iat: secondsField,
  exp: secondsField,
})

/** The request for exactly this command, with the caller's own statement of who it is. */
export function exchangeRequest(cmd: Command, subjectToken: string): ExchangeRequest {
  return {
    grant_type: GRANT_TYPE,
    subject_token: subjectToken,
    subject_token_type: JWT_TYPE,
    requested_token_type: CAPABILITY_TYPE,
    audience: cmd.node,
    scope: cmd.op,
    authorization_details: [requestedDetailFor(cmd)],
  }
}

/** The JSON form. ZT-422-SCHEMA, also when the fields around the command contradict it. */
export function parseExchangeRequest(value: unknown, path: string = 'params'): ExchangeRequest {
  const parsed = request(value, path)
  const [detail] = parsed.authorization_details
  if (detail === undefined) return refuseField(`${path}.authorization_details`, 'is empty')
  const { cmd } = detail
  const at = `${path}.authorization_details[0]`
  if (detail.actions[0] !== actionOf(cmd)) refuseField(`${at}.actions`, 'is not the action of the command')
  if (detail.locations[0] !== cmd.node) refuseField(`${at}.locations`, 'is not the node of the command')
  if (detail.identifier !== identifierOf(cmd))
    refuseField(`${at}.identifier`, 'is not the process of the command')
  if (parsed.audience !== cmd.node) refuseField(`${path}.audience`, 'is not the node of the command')
  if (parsed.scope !== undefined && parsed.scope !== cmd.op) {
    refuseField(`${path}.scope`, 'is not the operation of the command')
  }
  return parsed
}

/**
 * The form of RFC 8693 §2.1. RFC 6749 §3.2: unknown parameters are ignored, repeated ones are refused.
 * ZT-413-SIZE, ZT-422-SCHEMA.
 */
export function parseExchangeForm(body: string): ExchangeRequest {
  if (Buffer.byteLength(body) > MAX_EXCHANGE_BYTES) throw new ZtError('ZT-413-SIZE', 'form is too large')
  const form = new URLSearchParams(body)
  const fields: Record<string, JsonValue> = {}
  for (const name of FORM_FIELDS) {
    const [value, ...more] = form.getAll(name)
    if (more.length > 0) refuseField(name, 'is given twice')
    if (value !== undefined) fields[name] = name === 'authorization_details' ? readDetails(value) : value
  }
  return parseExchangeRequest(fields, '')
}

/** The form of a request, for HTTPS. */
export function exchangeForm(asked: ExchangeRequest): string {
  const { authorization_details: details, ...rest } = asked
  const form = new URLSearchParams({ ...rest })
  form.set('authorization_details', JSON.stringify(details))
  return form.toString()
}

/** ZT-422-SCHEMA. */
export function parseExchangeResponse(value: unknown): ExchangeResponse {
  return response(value, 'result')
}

/** "I am this principal, and I talk to this hub": a minute long, signed by the SVID. `now` in ms. */
export function signIdToken(
  identity: Identity,
  to: { readonly hub: SpiffeId; readonly now: number },
): string {
  const iat = Math.floor(to.now / 1000)
  const claims: IdTokenClaims = {
    iss: identity.id,
    sub: identity.id,
    aud: to.hub,
    jti: randomUUID(),
    iat,
    exp: iat + ID_TOKEN_LIFE_S,
  }
  return signStatement(identity, ID_TOKEN_TYP, claims)
}

/**
 * Errors of openSigned(); ZT-421-MISDIRECTED if it is another's or for another hub; ZT-408-STALE outside its minute.
 * The caller checks that the same principal made the request, and consumes `jti`.
 */
export function openIdToken(
  text: string,
  context: SignedContext & { readonly hub: SpiffeId },
): VerifiedIdToken {
  const { trust, now } = context
  const { payload, svid } = openSigned(text, { typ: ID_TOKEN_TYP, maxBytes: MAX_ID_TOKEN_BYTES, trust, now })
  const claims = idToken(payload, '')
  if (claims.iss !== svid.id || claims.sub !== svid.id) throw misdirected('sub')
  if (claims.aud !== context.hub) throw misdirected('aud')
  const seconds = now / 1000
  const life = claims.exp - claims.iat
  if (life <= 0 || life > ID_TOKEN_LIFE_S || claims.iat > seconds + MAX_SKEW_S || seconds >= claims.exp) {
    throw new ZtError('ZT-408-STALE', 'identity token is outside its time')
  }
  return { claims, svid }
}

const FORM_FIELDS = [
  'grant_type',
  'subject_token',
  'subject_token_type',
  'requested_token_type',
  'audience',
  'scope',
  'authorization_details',
] as const

function requestedDetailFor(cmd: Command): RequestedDetail {
  const identifier = identifierOf(cmd)
  const detail = { type: DETAIL_TYPE, actions: [actionOf(cmd)], locations: [cmd.node], cmd } as const
  return identifier === undefined ? detail : { ...detail, identifier }
}

function identifierOf(cmd: Command): ProcId | undefined {
  return 'proc' in cmd ? cmd.proc : undefined
}

function readDetails(text: string): JsonValue {
  return parseStrictJson(text, { maxBytes: MAX_EXCHANGE_BYTES })
}

function misdirected(field: string): ZtError {
  return new ZtError('ZT-421-MISDIRECTED', `field "${field}" of the identity token does not belong here`, {
    details: { field },
  })
}
