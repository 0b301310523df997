import type { Rule } from './rule.ts'

/** A leaf serves both ends of a connection; an authority has no such limit to hand on. */
export const extendedKeyUsage: Rule = {
  name: 'extended-key-usage',
  citation: 'SPIFFE X509-SVID §4.4',
  holds: ({ eku = [] }, { profile }) =>
    eku.length === profile.extendedKeyUsage.length &&
    profile.extendedKeyUsage.every((purpose) => eku.includes(purpose)),
}
