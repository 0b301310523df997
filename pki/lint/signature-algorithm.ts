import { OID } from '#shared/x509/oid.ts'
import type { Rule } from './rule.ts'

/** The hash is that of the strength of the issuer's curve, and no other. */
export const signatureAlgorithm: Rule = {
  name: 'signature-algorithm',
  citation: 'RFC 5758 §3.2; RFC 5480 §4',
  holds: (certificate, { profile }) =>
    certificate.signatureAlgorithm ===
    (profile.issuerCurve === 'P-384' ? OID.ecdsaWithSha384 : OID.ecdsaWithSha256),
}
