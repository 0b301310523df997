// RFC 5280 §4.2.1.6 GeneralNames, sorted by form. Forms that ztmesh has no use for are kept as their tag only, so
// that a caller can refuse what it did not look at.
import { malformed, type DerElement, type DerReader } from './der.ts'

export const NAME_TAG = { email: 0x81, dns: 0x82, uri: 0x86, ip: 0x87 } as const

export interface GeneralNames {
  readonly uris: readonly string[]
  readonly dns: readonly string[]
  readonly emails: readonly string[]
  /** 4 or 16 octets each */
  readonly ips: readonly Uint8Array[]
  /** identifier octets of names of any other form */
  readonly other: readonly number[]
}

export const NO_NAMES: GeneralNames = Object.freeze({ uris: [], dns: [], emails: [], ips: [], other: [] })

const OTHER_FORMS = new Set([0xa0, 0xa3, 0xa4, 0xa5, 0x88])

/** Every name of a GeneralNames; refuses an empty one, as RFC 5280 §4.2.1.6 does. */
export function readGeneralNames(names: DerReader, field: string): GeneralNames {
  const found = { uris: [] as string[], dns: [] as string[], emails: [] as string[] }
  const ips: Uint8Array[] = []
  const other: number[] = []
  if (names.done) throw malformed(field, 'is empty')
  while (!names.done) {
    const name = names.element()
    if (name.tag === NAME_TAG.uri) found.uris.push(visibleText(name, field))
    else if (name.tag === NAME_TAG.dns) found.dns.push(visibleText(name, field))
    else if (name.tag === NAME_TAG.email) found.emails.push(visibleText(name, field))
    else if (name.tag === NAME_TAG.ip) ips.push(address(name, field))
    else if (OTHER_FORMS.has(name.tag)) other.push(name.tag)
    else throw malformed(field, 'has a name of an unknown form')
  }
  return { ...found, ips, other }
}

/** IA5String content without controls or spaces: a NUL in a name has fooled validators before (CVE-2009-2408). */
export function visibleText(name: DerElement, field: string): string {
  let text = ''
  for (const byte of name.content) {
    if (byte <= 0x20 || byte >= 0x7f)
      throw malformed(field, 'has a name with characters that are not visible ASCII')
    text += String.fromCharCode(byte)
  }
  return text
}

function address(name: DerElement, field: string): Uint8Array {
  if (name.content.length !== 4 && name.content.length !== 16)
    throw malformed(field, 'has an IP address of a wrong length')
  return name.content
}
