// What a lint rule is. One file a rule, each with the clause that it enforces.
import type { TrustDomain } from '#shared/identity/names.ts'
import type { Certificate } from '#shared/x509/certificate.ts'
import type { NameConstraints } from '#shared/x509/name-constraints.ts'
import type { Profile } from '../issuance/profile.ts'

export interface LintContext {
  readonly profile: Profile
  readonly trustDomain: TrustDomain
  /** what the certificate must be constrained to; absent: it must have no constraints */
  readonly constraints?: NameConstraints
  /** digest of the quorum that it must pin; absent: it must pin none */
  readonly quorum?: Uint8Array
}

export interface Rule {
  /** named in errors as `details.rule` */
  readonly name: string
  readonly citation: string
  /** True if the certificate keeps the rule. */
  readonly holds: (certificate: Certificate, context: LintContext) => boolean
}
