// RFC 5280 §4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050, seconds present, Z, no fractions.
import { malformed, TAG, type DerElement } from './der.ts'

const DIGITS = /^\d+Z$/

/** Milliseconds since 1970. Throws ZT-422-CERT for any other form and for dates that do not exist. */
export function readTime(element: DerElement): number {
  const text = Buffer.from(element.content).toString('latin1')
  if (!DIGITS.test(text)) throw bad()
  if (element.tag === TAG.utcTime && text.length === 13) {
    // RFC 5280 §4.1.2.5.1: 50 to 99 are the 1900s.
    const century = Number(text.slice(0, 2)) >= 50 ? '19' : '20'
    return instant(`${century}${text}`)
  }
  if (element.tag === TAG.generalizedTime && text.length === 15) {
    const at = instant(text)
    if (at < Date.UTC(2050, 0)) throw bad()
    return at
  }
  throw bad()
}

function instant(text: string): number {
  const iso = text.replace(/^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6.000Z')
  const at = Date.parse(iso)
  // Date.parse takes 24:00:00 and rolls some days over: only what it would write itself is a date.
  if (Number.isNaN(at) || new Date(at).toISOString() !== iso) throw bad()
  return at
}

function bad(): Error {
  return malformed('certificate validity', 'has a time that RFC 5280 does not allow')
}
