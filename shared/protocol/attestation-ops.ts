// What operators ask the hub of machines' proofs: how a node proved itself, and the PCR policy that proofs are judged by.
import { integer, nullable, object, type Parser } from '#shared/encoding/shape.ts'
import type { NodeName } from '#shared/identity/names.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import { digestField, millisField, nodeNameField, noteField, spiffeIdField } from './fields.ts'
import { parseNodeInspection, type NodeInspection } from './node-inspection.ts'

export type AttestationOp = 'node.inspect' | 'pcr-policy.apply' | 'pcr-policy.show'

export interface AttestationParams {
  readonly 'node.inspect': { readonly node: NodeName }
  /** the signed note */
  readonly 'pcr-policy.apply': { readonly note: string }
  readonly 'pcr-policy.show': Readonly<Record<never, never>>
}

/** The note says everything else, and is verified again by whoever reads it. */
export interface PolicyInForce {
  readonly note: string
  /** UTC, milliseconds */
  readonly appliedAt: number
  readonly appliedBy: SpiffeId
}

export interface AttestationResults {
  readonly 'node.inspect': NodeInspection
  readonly 'pcr-policy.apply': { readonly version: number; readonly digest: string }
  readonly 'pcr-policy.show': { readonly policy: PolicyInForce | null }
}

export const ATTESTATION_PARAMS: {
  readonly [Op in AttestationOp]: Parser<AttestationParams[Op]>
} = {
  'node.inspect': object({ node: nodeNameField }),
  'pcr-policy.apply': object({ note: noteField }),
  'pcr-policy.show': object({}),
}

export const ATTESTATION_RESULTS: {
  readonly [Op in AttestationOp]: Parser<AttestationResults[Op]>
} = {
  'node.inspect': parseNodeInspection,
  'pcr-policy.apply': object({ version: integer({ min: 1 }), digest: digestField }),
  'pcr-policy.show': object({
    policy: nullable(object({ note: noteField, appliedAt: millisField, appliedBy: spiffeIdField })),
  }),
}
