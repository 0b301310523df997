import type { Rule } from './rule.ts'

/** A root names itself as its issuer; nothing else may, or path building could stop at it. */
export const issuer: Rule = {
  name: 'issuer',
  citation: 'RFC 5280 §3.2, §4.1.2.4',
  holds: ({ issuerDer, subjectDer }, { profile }) =>
    (Buffer.compare(issuerDer, subjectDer) === 0) === (profile.name === 'root'),
}
