import { OID } from '#shared/x509/oid.ts'
import type { Rule } from './rule.ts'

/**
 * "If the subject is a CA … the subject field MUST be populated with a non-empty distinguished name"; a leaf has an
 * empty one, and then the alternative name MUST be critical.
 */
export const subject: Rule = {
  name: 'subject',
  citation: 'RFC 5280 §4.1.2.6',
  holds: ({ subjectIsEmpty, critical }, { profile }) =>
    profile.ca === undefined ? subjectIsEmpty && critical.has(OID.subjectAltName) : !subjectIsEmpty,
}
