import { OID } from '#shared/x509/oid.ts'
import type { Rule } from './rule.ts'

/** "Conforming CAs MUST include this extension in all CA certificates … and MUST mark [it] as critical". */
export const basicConstraints: Rule = {
  name: 'basic-constraints',
  citation: 'RFC 5280 §4.2.1.9; SPIFFE X509-SVID §4.1',
  holds: (certificate, { profile }) =>
    profile.ca === undefined
      ? !certificate.isCa
      : certificate.isCa &&
        certificate.critical.has(OID.basicConstraints) &&
        certificate.pathLen === profile.ca.pathLen,
}
