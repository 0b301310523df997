import type { Rule } from './rule.ts'

/** A root names itself as its issuer, and so does its key under another root; nothing else may. */
export const issuer: Rule = {
  name: 'issuer',
  citation: 'RFC 5280 §3.2, §4.1.2.4; RFC 4210 §4.4',
  holds: ({ issuerDer, subjectDer }, { profile }) =>
    (Buffer.compare(issuerDer, subjectDer) === 0) ===
    (profile.name === 'root' || profile.name === 'cross-root'),
}
