import { curveOf } from '#shared/x509/ec-spki.ts'
import type { Rule } from './rule.ts'

/** "named curve … MUST" (§2.1.1), uncompressed, of the curve of the profile. */
export const subjectKey: Rule = {
  name: 'subject-key',
  citation: 'RFC 5480 §2.1.1, §2.2',
  holds: (certificate, { profile }) => curveOf(certificate.spki) === profile.curve,
}
