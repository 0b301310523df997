import type { Rule } from './rule.ts'

/** "The serial number MUST be a positive integer …" (§4.1.2.2); ours: 128 random bits behind a leading 01. */
export const serialNumber: Rule = {
  name: 'serial-number',
  citation: 'RFC 5280 §4.1.2.2; ceremony checklist C7',
  holds: (certificate) => /^01[0-9a-f]{32}$/.test(certificate.serial),
}
