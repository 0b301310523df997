import { OID } from '#shared/x509/oid.ts'
import type { Rule } from './rule.ts'

const OF_ALL: readonly string[] = [OID.keyUsage, OID.subjectAltName, OID.subjectKeyId, OID.authorityKeyId]

/** Nothing is in a certificate that its profile does not name. */
export const knownExtensions: Rule = {
  name: 'known-extensions',
  citation: 'RFC 5280 §4.2; SPIFFE X509-SVID §4',
  holds: ({ extensionIds }, { profile, quorum }) => {
    const allowed = new Set(OF_ALL)
    if (profile.ca !== undefined) allowed.add(OID.basicConstraints)
    if (profile.ca?.constrained === true) allowed.add(OID.nameConstraints)
    if (quorum !== undefined) allowed.add(OID.certificatePolicies)
    if (profile.extendedKeyUsage.length > 0) allowed.add(OID.extendedKeyUsage)
    return extensionIds.length === allowed.size && extensionIds.every((id) => allowed.has(id))
  },
}
