// Mutual anchoring: a node's signed head becomes a leaf of the hub's log, and the answer carries what the node needs to
// check that it did. The texts are C2SP checkpoints; shared/log verifies them and the proofs.
import { array, base64urlText, integer, object, type Parser } from '#shared/encoding/shape.ts'
import { bytes32Field, noteField } from './fields.ts'

export interface AnchorRequest {
  /** signed checkpoint of the node's log */
  readonly checkpoint: string
  /** size of the node's log that the hub confirmed last, 0 at first */
  readonly old: number
  /** consistency from `old` to the checkpoint, base64url hashes */
  readonly proof: readonly string[]
  /** size of the newest hub checkpoint that the node holds, 0 at first */
  readonly hub_old: number
}

export interface AnchorResponse {
  /** signed checkpoint of the hub's log that includes the leaf */
  readonly checkpoint: string
  /** of the leaf */
  readonly index: number
  /** the leaf's entry (previous hash and row body), base64url: the node checks that it says what was sent */
  readonly entry: string
  readonly inclusion: readonly string[]
  /** consistency from `hub_old` to the checkpoint */
  readonly consistency: readonly string[]
}

// RFC 6962 §2.1: a proof has at most one hash a level on each side; 64 levels hold every log there can be.
const proof = array(bytes32Field, { max: 128 })
const size = integer({ min: 0 })

/** `params` of the hub operation `anchor`; ZT-422-SCHEMA. */
export const parseAnchorRequest: Parser<AnchorRequest> = object({
  checkpoint: noteField,
  old: size,
  proof,
  hub_old: size,
})

/** `result` of the hub operation `anchor`; ZT-422-SCHEMA. */
export const parseAnchorResponse: Parser<AnchorResponse> = object({
  checkpoint: noteField,
  index: size,
  entry: base64urlText({ min: 33, max: 65_535 }),
  inclusion: proof,
  consistency: proof,
})
