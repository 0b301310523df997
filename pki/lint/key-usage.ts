import { OID } from '#shared/x509/oid.ts'
import type { Rule } from './rule.ts'

/** Key usage MUST be there and critical; exactly the bits of the profile. */
export const keyUsage: Rule = {
  name: 'key-usage',
  citation: 'RFC 5280 §4.2.1.3; SPIFFE X509-SVID §4.3',
  holds: ({ keyUsage: found, critical }, { profile }) =>
    critical.has(OID.keyUsage) &&
    found.size === profile.keyUsage.length &&
    profile.keyUsage.every((usage) => found.has(usage)),
}
