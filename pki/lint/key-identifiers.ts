import { keyIdentifier } from '../issuance/extension.ts'
import type { Rule } from './rule.ts'

/** Both identifiers are there; the subject's is that of its key, and a root names its own key as its issuer's. */
export const keyIdentifiers: Rule = {
  name: 'key-identifiers',
  citation: 'RFC 5280 §4.2.1.1, §4.2.1.2; RFC 7093 §2 (1)',
  holds: ({ spki, subjectKeyId, authorityKeyId }, { profile }) => {
    const own = keyIdentifier(spki)
    if (subjectKeyId === undefined || authorityKeyId === undefined) return false
    const isOwn = Buffer.compare(authorityKeyId, own) === 0
    return Buffer.compare(subjectKeyId, own) === 0 && isOwn === (profile.name === 'root')
  },
}
