import { canonicalJson } from '#shared/encoding/canonical-json.ts'
import { OID } from '#shared/x509/oid.ts'
import type { NameConstraints, Subtrees } from '#shared/x509/name-constraints.ts'
import type { Rule } from './rule.ts'

/** "MUST be marked critical"; exactly the subtrees that the ceremony decided, in its order. */
export const nameConstraints: Rule = {
  name: 'name-constraints',
  citation: 'RFC 5280 §4.2.1.10; design §4',
  holds: ({ nameConstraints: found, critical }, { profile, constraints }) => {
    if (profile.ca?.constrained !== true) return found === undefined
    if (found === undefined || constraints === undefined) return false
    return critical.has(OID.nameConstraints) && textOf(found) === textOf(constraints)
  },
}

function textOf({ permitted, excluded }: NameConstraints): string {
  return canonicalJson([subtreesOf(permitted), subtreesOf(excluded)])
}

function subtreesOf({ uris, dns, emails, ips }: Subtrees): unknown[] {
  return [uris, dns, emails, ips.map((range) => Buffer.from(range).toString('hex'))]
}
