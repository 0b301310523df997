// What the hub tells of bundles: the documents themselves, for whoever judges SVIDs, and how each relation to a foreign
// trust domain stands, for operators. A document stays text: who uses it parses it, and keeps it with its name.
import {
  array,
  boolean,
  integer,
  nullable,
  object,
  oneOf,
  optional,
  parsed,
  string,
  type Parser,
} from '#shared/encoding/shape.ts'
import { parseTrustDomain, type TrustDomain } from '#shared/identity/names.ts'
import { MAX_BUNDLE_DOCUMENT_BYTES } from '#shared/spiffe/bundle-document.ts'
import { millisField } from './fields.ts'

export interface BundlesRequest {
  /** the last trust domain of the answer before, where that said that there are more */
  readonly after?: TrustDomain
}

export interface NamedBundle {
  readonly td: TrustDomain
  /** a SPIFFE bundle document */
  readonly document: string
}

export interface BundlesResult {
  /** our own first, then others' by name */
  readonly bundles: readonly NamedBundle[]
  readonly more: boolean
}

export interface RelationStatus {
  readonly trust_domain: TrustDomain
  readonly url: string
  readonly profile: 'https_web' | 'https_spiffe'
  /** of the bundle that is held; null if there is none, or it counts nothing */
  readonly sequence: string | null
  /** authorities for X509-SVIDs and for JWT-SVIDs */
  readonly x509: number
  readonly jwt: number
  /** UTC, milliseconds, of the last fetch that succeeded; null before the first */
  readonly fetched: number | null
  /** code of the last fetch, if it failed */
  readonly failing: string | null
}

/** Documents of one answer: as many as one message carries. */
export const MAX_BUNDLES_BYTES: number = 384 * 1024

const trustDomainField: Parser<TrustDomain> = parsed(parseTrustDomain)

export const parseBundlesRequest: Parser<BundlesRequest> = object({ after: optional(trustDomainField) })

export const parseBundlesResult: Parser<BundlesResult> = object({
  bundles: array(
    object({ td: trustDomainField, document: string({ min: 2, max: MAX_BUNDLE_DOCUMENT_BYTES }) }),
    { max: 64 },
  ),
  more: boolean,
})

export const parseRelationStatus: Parser<RelationStatus> = object({
  trust_domain: trustDomainField,
  url: string({ max: 2048 }),
  profile: oneOf(['https_web', 'https_spiffe']),
  sequence: nullable(string({ max: 20, pattern: /^[0-9]+$/ })),
  x509: integer({ min: 0 }),
  jwt: integer({ min: 0 }),
  fetched: nullable(millisField),
  failing: nullable(string({ max: 64, pattern: /^ZT-[A-Z0-9-]+$/ })),
})
