import { parseSpiffeId, trustDomainOf } from '#shared/identity/spiffe-id.ts'
import { isZtError } from '#shared/errors/error.ts'
import type { Rule } from './rule.ts'

/** "exactly one URI SAN" (§2); without a path in a signing certificate (§3.2), with one in a leaf. */
export const spiffeId: Rule = {
  name: 'spiffe-id',
  citation: 'SPIFFE X509-SVID §2, §3.2, §5.2',
  holds: ({ sans }, { profile, trustDomain }) => {
    const [uri = '', second] = sans.uris
    if (second !== undefined) return false
    return profile.ca === undefined ? isLeafId(uri, trustDomain) : uri === `spiffe://${trustDomain}`
  },
}

function isLeafId(uri: string, trustDomain: string): boolean {
  try {
    return trustDomainOf(parseSpiffeId(uri)) === trustDomain
  } catch (error) {
    if (isZtError(error, 'ZT-422-SPIFFE-ID')) return false
    throw error
  }
}
