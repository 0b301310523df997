// What the hub holds of one node: how it last proved itself, by which evidence and under which policy, and what it was
// issued for it. The row numbers say where the hub's log has the same, so that nobody need believe this answer.
import {
  array,
  boolean,
  integer,
  nullable,
  object,
  oneOf,
  optional,
  type Parser,
  string,
} from '#shared/encoding/shape.ts'
import type { NodeName } from '#shared/identity/names.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import {
  bytes32Field,
  digestField,
  lineField,
  millisField,
  nodeNameField,
  originField,
  spiffeIdField,
} from './fields.ts'
import { pcrBankField, pcrValuesField, type PcrBank, type PcrValues } from './pcr-policy.ts'

/** The PCR policy that accepted a quote, and which of its sets did. */
export interface AcceptedBy {
  readonly version: number
  readonly set: string
  readonly digest: string
}

export interface NodeAttestation {
  /** UTC, milliseconds */
  readonly at: number
  readonly how: 'join-token' | 'device-key' | 'tpm'
  /** 1 join token, 2 TPM */
  readonly lvl: number
  /** where the key of the SVID is: in the memory of the agent, or in the TPM */
  readonly svidKey: 'soft' | 'tpm'
  /** of the canonical evidence, a join token left out */
  readonly evidence: string
  readonly policy: AcceptedBy | null
  readonly svid: {
    readonly serial: string
    readonly x5t: string
    readonly notBefore: number
    readonly notAfter: number
  }
  /** the certificate of its connection, where the SVID's key is in the TPM; it ends with the SVID */
  readonly link?: { readonly serial: string; readonly x5t: string }
  /** in the hub's log: node.joined or node.attested, and svid.issued */
  readonly rows: { readonly attested: number; readonly issued: number }
}

/** What the newest quote said of the TPM's own clock (TPMS_CLOCK_INFO), and its firmware as 16 hex digits. */
export interface InspectedClock {
  readonly resets: number
  readonly restarts: number
  /** milliseconds that the TPM was powered */
  readonly clock: number
  readonly safe: boolean
  readonly firmware: string
}

export interface InspectedTpm {
  /** SHA-256 of the public EK */
  readonly ek: string
  readonly maker: string
  /** the newest quote that held, accepted or not */
  readonly quote: {
    readonly at: number
    readonly bank: PcrBank
    readonly pcrs: PcrValues
    readonly clock: InspectedClock
  } | null
  /** since when policy refuses what the machine has measured, and the row that says so */
  readonly drifted: { readonly at: number; readonly row: number } | null
}

/** A set of the PCR policy in force that is for this node. */
export interface InspectedSet {
  readonly name: string
  /** UTC, milliseconds; null for one without an end */
  readonly notAfter: number | null
  readonly values: PcrValues
}

export interface NodeInspection {
  readonly name: NodeName
  readonly id: SpiffeId
  readonly state: NodeState
  readonly lvl: number
  readonly boot: string
  readonly fence: number
  readonly log: string | null
  /** base64url SHA-256 of the machine's public key: its device key, or the attestation key of its TPM */
  readonly device: string | null
  readonly attestation: NodeAttestation | null
  readonly tpm: InspectedTpm | null
  /** null while the hub has no PCR policy */
  readonly policy: {
    readonly version: number
    readonly digest: string
    readonly bank: PcrBank
    readonly sets: readonly InspectedSet[]
  } | null
}

export const NODE_STATES = ['invited', 'joined', 'drifted', 'revoked', 'distrusted'] as const

/** `distrusted`: two signed heads of its log contradicted each other. `drifted`: policy refuses its PCR values. */
export type NodeState = (typeof NODE_STATES)[number]

const sha256Hex = string({ max: 64, pattern: /^[0-9a-f]{64}$/ })
const hex64 = string({ max: 16, pattern: /^[0-9a-f]{16}$/ })
const count32 = integer({ min: 0, max: 0xff_ff_ff_ff })
const row = integer({ min: 0 })
const serialField = string({ min: 2, max: 64, pattern: /^[0-9a-f]+$/ })

/** ZT-422-SCHEMA. */
export const parseNodeAttestation: Parser<NodeAttestation> = object({
  at: millisField,
  how: oneOf(['join-token', 'device-key', 'tpm']),
  lvl: integer({ min: 1, max: 3 }),
  svidKey: oneOf(['soft', 'tpm']),
  evidence: digestField,
  policy: nullable(object({ version: integer({ min: 1 }), set: lineField, digest: digestField })),
  svid: object({
    serial: serialField,
    x5t: bytes32Field,
    notBefore: millisField,
    notAfter: millisField,
  }),
  link: optional(object({ serial: serialField, x5t: bytes32Field })),
  rows: object({ attested: row, issued: row }),
})

const tpm: Parser<InspectedTpm> = object({
  ek: sha256Hex,
  maker: lineField,
  quote: nullable(
    object({
      at: millisField,
      bank: pcrBankField,
      pcrs: pcrValuesField,
      clock: object({
        resets: count32,
        restarts: count32,
        clock: integer({ min: 0 }),
        safe: boolean,
        firmware: hex64,
      }),
    }),
  ),
  drifted: nullable(object({ at: millisField, row })),
})

/** ZT-422-SCHEMA. */
export const parseNodeInspection: Parser<NodeInspection> = object({
  name: nodeNameField,
  id: spiffeIdField,
  state: oneOf(NODE_STATES),
  lvl: integer({ min: 0, max: 3 }),
  boot: string({ max: 64 }),
  fence: integer({ min: 0 }),
  log: nullable(originField),
  device: nullable(bytes32Field),
  attestation: nullable(parseNodeAttestation),
  tpm: nullable(tpm),
  policy: nullable(
    object({
      version: integer({ min: 1 }),
      digest: digestField,
      bank: pcrBankField,
      sets: array(object({ name: lineField, notAfter: nullable(millisField), values: pcrValuesField }), {
        max: 64,
      }),
    }),
  ),
})
