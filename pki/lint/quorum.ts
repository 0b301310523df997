import { pinsQuorum } from '../issuance/quorum-pin.ts'
import type { Rule } from './rule.ts'

/** A root of a ceremony names the officers who may act under it, by digest. */
export const quorum: Rule = {
  name: 'quorum',
  citation: 'RFC 5280 §4.2.1.4; ceremony checklist C3; ADR 9',
  holds: (certificate, context) => context.quorum === undefined || pinsQuorum(certificate, context.quorum),
}
