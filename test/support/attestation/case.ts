// One case of the corpus of forged evidence, as its JSON file has it and as the verifier takes it. The format is described in
// test/attack/attestation/README.md, for verifiers that we did not write.
import {
  array,
  base64urlText,
  boolean,
  bytes,
  integer,
  literal,
  object,
  optional,
  refuseField,
  string,
  type Parser,
} from '#shared/encoding/shape.ts'
import type { ClockInfo } from '#shared/tpm/attest.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { isErrorCode, type ErrorCode } from '#shared/errors/codes.ts'
import type { NodeName } from '#shared/identity/names.ts'
import { sessionField, type AttestTranscript, type LogIdentity } from '#shared/protocol/admission.ts'
import { pcrWishField, type PcrWish } from '#shared/protocol/tpm-evidence.ts'
import type { AkEvidence, EndorsementEvidence, ProofEvidence } from '#hub/attestation/evidence.ts'
import { nodeNameField, spiffeIdField } from '#shared/protocol/fields.ts'
import { parsePcrPolicy, pcrValuesField, type PcrPolicy } from '#shared/protocol/pcr-policy.ts'

export const ATTACKS: readonly string[] = Array.from({ length: 24 }, (_, at) => `A${at + 1}`)

const MAX_CASE_BYTES = 1024 * 1024
const anyBytes = bytes({ max: 300_000 })
const bytes32 = bytes({ min: 32, max: 32 })
const bytes64 = bytes({ min: 64, max: 64 })
const text = string({ max: 1000 })
const millis = integer({ min: 0 })
const hex = string({ max: 64, pattern: /^[0-9a-f]{64}$/ })

/** What is answered: `accept`, or the code of the refusal. */
export type Answer = 'accept' | ErrorCode

const code: Parser<ErrorCode> = (value, path) =>
  typeof value === 'string' && isErrorCode(value) ? value : refuseField(path, 'is no known expectation')
const expectation: Parser<Answer> = (value, path) => (value === 'accept' ? value : code(value, path))

const clock = object({
  clock: integer({ min: 0 }),
  resetCount: integer({ min: 0 }),
  restartCount: integer({ min: 0 }),
  safe: boolean,
})

export interface CaseEvidence extends Partial<ProofEvidence> {
  /** in place of everything but the request: the node comes with a token, as a machine without a TPM would */
  readonly joinToken?: true
  /** likewise: the node signs with a key as a machine without a TPM does when it renews */
  readonly deviceKey?: true
  /** of a machine that joins, with `ak` and `activation`; a machine that renews is known by its registered AK */
  readonly endorsement?: EndorsementEvidence
  readonly ak?: Required<AkEvidence>
  readonly activation?: Uint8Array
  /** DER PKCS#10: its key is the SVID's */
  readonly csr?: Uint8Array
}

export interface CaseChallenge extends Omit<AttestTranscript, 'spki'> {
  /** lower-case hex SHA-256 of the transcript with the key of `evidence.csr`: what the attestations must be bound to */
  readonly extraData: string
  readonly pcrs: PcrWish
  /** what was sealed to EK and AK */
  readonly secret?: Uint8Array
  /** UTC, milliseconds */
  readonly expires: number
  readonly used: boolean
}

export interface CaseKnowledge {
  /** UTC, milliseconds */
  readonly now: number
  /** DER certificates */
  readonly roots: readonly Uint8Array[]
  readonly intermediates: readonly Uint8Array[]
  /** lower-case hex SHA-256 of SubjectPublicKeyInfos */
  readonly deniedEks: readonly string[]
  readonly allowedEks?: readonly string[]
  readonly pcrPolicy?: PcrPolicy
  readonly registered: readonly RegisteredMachine[]
}

export interface RegisteredMachine {
  readonly node: NodeName
  /** lower-case hex SHA-256 of the EK's SubjectPublicKeyInfo */
  readonly ek: string
  /** lower-case hex SHA-256 of the root certificate that vouched for the EK */
  readonly root: string
  /** TPM2B_PUBLIC */
  readonly ak: Uint8Array
  /** the audit log that it keeps */
  readonly log: LogIdentity
  /** what its last quote said */
  readonly clock?: ClockInfo
}

/** What ztmesh asks for beside evidence of a TPM, and what it needs to judge the file as if it had given the challenge. */
export interface ForZtmesh {
  /** under which `challenge.session` is sealed */
  readonly sessionKey: Uint8Array
  /** Ed25519, by `challenge.nats` over the transcript */
  readonly natsProof: Uint8Array
  /** the join token that was made for the name, and whether it may take it over */
  readonly token?: { readonly secret: Uint8Array; readonly replaces: boolean }
  /** of a machine that comes without its TPM: DER SubjectPublicKeyInfo, and ES256 over the transcript */
  readonly device?: { readonly spki: Uint8Array; readonly proof: Uint8Array }
  /** how the verifier refuses, where the parser of the request refuses before it */
  readonly behind?: ErrorCode
}

export interface AttackCase {
  readonly v: 2
  readonly name: string
  /** A1 to A24; `T13` for a machine that started something else than it should; `none` for genuine evidence */
  readonly attack: string
  readonly what: string
  readonly made: string
  readonly evidence: CaseEvidence
  readonly challenge: CaseChallenge
  readonly known: CaseKnowledge
  /** handed in as often as this, all at once: one is accepted, and `expect` is the answer to every other */
  readonly times?: number
  readonly ztmesh: ForZtmesh
  readonly expect: Answer
}

// What the evidence holds may be as wrong as it likes: only its frame is checked here.
const evidence = object({
  joinToken: optional(literal(true)),
  deviceKey: optional(literal(true)),
  endorsement: optional(object({ certificates: array(anyBytes, { max: 8 }), public: anyBytes })),
  ak: optional(
    object({
      public: anyBytes,
      creation: object({ data: anyBytes, attest: anyBytes, signature: anyBytes }),
    }),
  ),
  activation: optional(anyBytes),
  quote: optional(object({ attest: anyBytes, signature: anyBytes, pcrs: pcrValuesField })),
  eventLog: optional(anyBytes),
  certified: optional(object({ public: anyBytes, attest: anyBytes, signature: anyBytes })),
  csr: optional(anyBytes),
})

const log = object({ vkey: text, origin: text })

const challenge = object({
  hub: spiffeIdField,
  session: sessionField,
  nonce: base64urlText({ min: 32, max: 32 }),
  node: nodeNameField,
  enc: base64urlText({ min: 32, max: 32 }),
  nats: string({ max: 56 }),
  log,
  extraData: hex,
  pcrs: pcrWishField,
  secret: optional(bytes32),
  expires: millis,
  used: boolean,
})

const known = object({
  now: millis,
  roots: array(anyBytes, { max: 8 }),
  intermediates: array(anyBytes, { max: 8 }),
  deniedEks: array(hex, { max: 8 }),
  allowedEks: optional(array(hex, { max: 8 })),
  pcrPolicy: optional(parsePcrPolicy),
  registered: array(
    object({ node: nodeNameField, ek: hex, root: hex, ak: anyBytes, log, clock: optional(clock) }),
    { max: 8 },
  ),
})

const ztmesh = object({
  sessionKey: bytes32,
  natsProof: bytes64,
  token: optional(object({ secret: bytes32, replaces: boolean })),
  device: optional(object({ spki: anyBytes, proof: bytes64 })),
  behind: optional(code),
})

const attackCase: Parser<AttackCase> = object({
  v: literal(2),
  name: string({ max: 80, pattern: /^[a-z0-9-]+$/ }),
  attack: string({ max: 4, pattern: /^(?:A[1-9]|A1[0-9]|A2[0-4]|T13|none)$/ }),
  what: text,
  made: text,
  evidence,
  challenge,
  known,
  times: optional(integer({ min: 2, max: 100 })),
  ztmesh,
  expect: expectation,
})

/** The case of a file. ZT-422-SCHEMA, also for an expectation that is not `accept` or one of our codes. */
export function parseCase(json: Uint8Array): AttackCase {
  return attackCase(parseStrictJson(json, { maxBytes: MAX_CASE_BYTES }), '')
}

/** The file of a case: what parseCase() reads, with every byte string in base64url. */
export function caseText(one: AttackCase): string {
  const encode = (_key: string, value: unknown): unknown => {
    if (value instanceof Uint8Array) return Buffer.from(value).toString('base64url')
    return value
  }
  return `${JSON.stringify(withPlainBytes(one), encode, 2)}\n`
}

/** A Buffer would be turned into JSON of its own before anybody sees it. */
function withPlainBytes(value: unknown): unknown {
  if (value instanceof Uint8Array) return new Uint8Array(value)
  if (Array.isArray(value)) return value.map(withPlainBytes)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, withPlainBytes(member)]))
}
