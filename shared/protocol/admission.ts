// Joining and staying: what node agent and hub say to each other over HTTPS before there is an SVID. Every proof in it
// signs one transcript, so none can be moved to another session, node, key or hub.
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { canonicalBytes, canonicalJson } from '#shared/encoding/canonical-json.ts'
import { sha256 } from '#shared/encoding/digest.ts'
import {
  array,
  base64urlText,
  boolean,
  integer,
  literal,
  object,
  optional,
  string,
  union,
  parsed,
  type Parser,
} from '#shared/encoding/shape.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { parseTrustDomain, type NodeName, type TrustDomain } from '#shared/identity/names.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import {
  bootField,
  bytes32Field,
  compactField,
  millisField,
  nodeNameField,
  originField,
  spiffeIdField,
  statementField,
} from './fields.ts'
import {
  pcrWishField,
  tpmCredentialField,
  tpmEvidenceField,
  tpmHelloField,
  type PcrWish,
  type TpmCredential,
  type TpmEvidence,
  type TpmHello,
} from './tpm-evidence.ts'

/** Bytes of a request, at most: one of a TPM may carry an event log. */
export const MAX_ADMISSION_BYTES: number = 448 * 1024
/** Bundles of one answer, at most: as many of the largest as fit. */
export const MAX_BUNDLES_EACH = 12
/** Bytes of an answer, at most: it carries the deny list. */
export const MAX_ADMISSION_ANSWER_BYTES: number = 1024 * 1024

/** What a join string holds: enough to know the hub again, and one secret. */
export interface JoinTicket {
  readonly v: 1
  /** `https://host:port` */
  readonly hub: string
  readonly hubId: SpiffeId
  readonly td: TrustDomain
  /** lower-case hex SHA-256 of the root certificate */
  readonly root: string
  readonly node: NodeName
  /** base64url, 32 bytes: never in argv, environment or logs */
  readonly token: string
}

export interface ChallengeRequest {
  readonly node: NodeName
  /** of a machine that joins with a TPM */
  readonly tpm?: TpmHello
}

export interface Challenge {
  /** opaque: sealed by the hub for itself */
  readonly session: string
  /** base64url, 32 bytes */
  readonly nonce: string
  /** UTC, milliseconds */
  readonly expires: number
  /** what a TPM is to quote; absent where the hub takes no evidence of a TPM */
  readonly pcrs?: PcrWish
  /** in answer to a hello */
  readonly credential?: TpmCredential
}

export type Evidence =
  | TpmEvidence
  | {
      readonly type: 'join-token'
      readonly token: string
      /** P-256 key that re-attests from now on: base64url SPKI, and its ES256 signature over the transcript */
      readonly device: { readonly spki: string; readonly proof: string }
    }
  | { readonly type: 'device-key'; readonly proof: string }

/** The NATS user key, with its Ed25519 signature over the transcript. */
export interface NatsKeyProof {
  readonly publicKey: string
  readonly proof: string
}

export interface LogIdentity {
  /** C2SP note verifier key */
  readonly vkey: string
  readonly origin: string
}

export interface AttestRequest {
  readonly session: string
  readonly node: NodeName
  readonly evidence: Evidence
  /** base64url DER PKCS#10 for a P-256 key */
  readonly csr: string
  /** the same for the key of the connection, where the other one is in a TPM: TLS cannot use that */
  readonly link?: string
  readonly nats: NatsKeyProof
  /** base64url raw X25519 */
  readonly enc_key: string
  readonly log: LogIdentity
  readonly boot: string
}

/** How to reach NATS, and which server to expect there. */
export interface NatsAccess {
  readonly servers: readonly string[]
  readonly serverId: SpiffeId
}

/** What every admitted principal gets. */
export interface Credentials {
  /** base64url DER: leaf, intermediate */
  readonly svid: readonly string[]
  readonly nats_jwt: string
  readonly nats: NatsAccess
  readonly bundle: string
  readonly hub_key: string
  readonly hub_log: LogIdentity
  /** UTC, milliseconds */
  readonly expires: number
}

export interface AttestResponse extends Credentials {
  /** base64url DER: leaf, intermediate; in answer to a `link` */
  readonly link?: readonly string[]
  readonly deny: string
  readonly policy: { readonly ver: number; readonly sha256: string }
  readonly fence: number
  readonly lvl: number
}

export interface BundleResponse {
  readonly bundle: string
}

/** The next bundles of a history; each proves itself, and nothing is believed because a hub handed it over. */
export interface BundlesResponse {
  readonly bundles: readonly string[]
  /** there are later ones still */
  readonly more: boolean
}

/** The fields that every proof of one admission covers. */
export interface AttestTranscript {
  readonly hub: SpiffeId
  readonly session: string
  readonly nonce: string
  readonly node: NodeName
  /** base64url SHA-256 of the request's SubjectPublicKeyInfo */
  readonly spki: string
  /** the same of the key of the connection, where that is another one */
  readonly link?: string
  /** base64url raw X25519 */
  readonly enc: string
  /** NATS user public key */
  readonly nats: string
  readonly log: LogIdentity
}

const JOIN_PREFIX = 'ztjoin_'
const MAX_JOIN_BYTES = 2048

export const sessionField: Parser<string> = base64urlText({ min: 16, max: 3072 })
export const csrField: Parser<string> = base64urlText({ min: 1, max: 4096 })
const signature64 = base64urlText({ min: 64, max: 64 })

export const natsProofField: Parser<NatsKeyProof> = object({
  publicKey: string({ max: 56, pattern: /^U[A-Z2-7]{55}$/ }),
  proof: signature64,
})

const logIdentity: Parser<LogIdentity> = object({
  vkey: string({ max: 300, pattern: /^[\x21-\x2a\x2c-\x7e]+\+[0-9a-f]{8}\+[A-Za-z0-9+/=]+$/ }),
  origin: originField,
})

const url = string({ max: 300, pattern: /^https:\/\/[A-Za-z0-9.[\]:-]+$/ })

const joinTicket: Parser<JoinTicket> = object({
  v: literal(1),
  hub: url,
  hubId: spiffeIdField,
  td: parsed(parseTrustDomain),
  root: string({ max: 64, pattern: /^[0-9a-f]{64}$/ }),
  node: nodeNameField,
  token: bytes32Field,
})

const evidence: Parser<Evidence> = union('type', {
  'join-token': object({
    type: literal('join-token'),
    token: bytes32Field,
    device: object({ spki: base64urlText({ min: 1, max: 256 }), proof: signature64 }),
  }),
  'device-key': object({ type: literal('device-key'), proof: signature64 }),
  tpm: tpmEvidenceField,
})

const chainField = array(base64urlText({ min: 1, max: 4096 }), { min: 2, max: 2 })

/** What credentials look like on the wire, for this answer and for that of a login. */
export const credentialFields: {
  readonly [K in keyof Credentials]-?: Parser<Credentials[K]>
} = {
  svid: chainField,
  nats_jwt: compactField,
  nats: object({
    servers: array(string({ max: 300, pattern: /^tls:\/\/[A-Za-z0-9.[\]:-]+$/ }), { min: 1, max: 16 }),
    serverId: spiffeIdField,
  }),
  bundle: statementField,
  hub_key: compactField,
  hub_log: logIdentity,
  expires: millisField,
}

/** ZT-422-SCHEMA. */
export const parseBundleResponse: Parser<BundleResponse> = object({ bundle: statementField })

/** ZT-422-SCHEMA. */
export const parseBundlesResponse: Parser<BundlesResponse> = object({
  bundles: array(statementField, { max: MAX_BUNDLES_EACH }),
  more: boolean,
})

/** ZT-422-SCHEMA. */
export const parseChallengeRequest: Parser<ChallengeRequest> = object({
  node: nodeNameField,
  tpm: optional(tpmHelloField),
})

/** ZT-422-SCHEMA. */
export const parseChallenge: Parser<Challenge> = object({
  session: sessionField,
  nonce: bytes32Field,
  expires: millisField,
  pcrs: optional(pcrWishField),
  credential: optional(tpmCredentialField),
})

/** ZT-422-SCHEMA. */
export const parseAttestRequest: Parser<AttestRequest> = object({
  session: sessionField,
  node: nodeNameField,
  evidence,
  csr: csrField,
  link: optional(csrField),
  nats: natsProofField,
  enc_key: bytes32Field,
  log: logIdentity,
  boot: bootField,
})

/** ZT-422-SCHEMA. */
export const parseAttestResponse: Parser<AttestResponse> = object({
  ...credentialFields,
  link: optional(chainField),
  deny: statementField,
  policy: object({ ver: integer({ min: 1 }), sha256: bytes32Field }),
  fence: integer({ min: 0 }),
  lvl: integer({ min: 1, max: 3 }),
})

/** The 32 bytes that device key and NATS key sign, and that a TPM's quote carries as extraData. */
export function attestTranscript(transcript: AttestTranscript): Uint8Array {
  return sha256(canonicalBytes({ purpose: 'ztmesh-attest-v1', ...transcript }))
}

/** `ztjoin_` and the ticket. */
export function encodeJoinString(ticket: JoinTicket): string {
  return `${JOIN_PREFIX}${encodeBase64url(Buffer.from(canonicalJson(joinTicket(ticket, ''))))}`
}

/** ZT-403-JOIN unless the text, without the newline of its file, is a join string; nothing of it is repeated. */
export function parseJoinString(text: string): JoinTicket {
  const trimmed = text.endsWith('\n') ? text.slice(0, -1) : text
  try {
    if (!trimmed.startsWith(JOIN_PREFIX)) throw notJoinString('text is not a join string')
    const json = decodeBase64url(trimmed.slice(JOIN_PREFIX.length), 'join string')
    return joinTicket(parseStrictJson(json, { maxBytes: MAX_JOIN_BYTES }), '')
  } catch (error) {
    if (!isZtError(error) || error.code === 'ZT-403-JOIN') throw error
    // The cause could quote the secret: it is dropped on purpose.
    throw notJoinString('join string is damaged')
  }
}

/** The ZT-403-JOIN for what is no join string: the hint says what one is. */
export function notJoinString(message: string): ZtError {
  return new ZtError('ZT-403-JOIN', message, {
    details: { hint: 'give it the whole line that `ztctl node join-token NAME` printed, and nothing else' },
  })
}
