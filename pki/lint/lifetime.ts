import type { Rule } from './rule.ts'

/** A lifetime is positive and within the profile's. */
export const lifetime: Rule = {
  name: 'lifetime',
  citation: 'RFC 5280 §4.1.2.5; design §4',
  holds: ({ notBefore, notAfter }, { profile }) =>
    notAfter > notBefore && notAfter - notBefore <= profile.maxLifetimeMs,
}
