// What extensions of RFC 5280 §4.2 say, for whoever reads a certificate: our own, and those of TPM vendors.
import { DerReader, malformed, readDer, TAG } from './der.ts'

export const KEY_USAGES = [
  'digitalSignature',
  'contentCommitment',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
] as const

export type KeyUsage = (typeof KEY_USAGES)[number]

export interface BasicConstraints {
  readonly isCa: boolean
  readonly pathLen?: number
}

/** Dotted identifiers: of all extensions, in order, and of those marked critical. */
export interface ExtensionIds {
  readonly all: ReadonlySet<string>
  readonly critical: ReadonlySet<string>
}

/** Hands each extension of the SEQUENCE OF Extension that `list` is inside of to `read`. Throws ZT-422-CERT. */
export function readExtensionList(
  list: DerReader,
  read: (id: string, value: Uint8Array) => void,
): ExtensionIds {
  const all = new Set<string>()
  const critical = new Set<string>()
  while (!list.done) {
    const extension = list.enter(TAG.sequence, 'certificate extension')
    const id = extension.oid()
    if (extension.peek() === TAG.boolean) {
      // X.690 §11.5: the default, FALSE, is left out.
      if (!extension.boolean()) throw malformed('certificate extension', 'writes out that it is not critical')
      critical.add(id)
    }
    const value = extension.next(TAG.octetString)
    extension.end()
    // RFC 5280 §4.2: not more than one instance of an extension.
    if (all.has(id)) throw malformed('certificate extension', 'is repeated')
    all.add(id)
    read(id, value)
  }
  return { all, critical }
}

export function readBasicConstraints(value: Uint8Array): BasicConstraints {
  const fields = readDer(value, TAG.sequence, 'basic constraints')
  const isCa = fields.peek() === TAG.boolean
  if (isCa && !fields.boolean()) throw malformed('basic constraints', 'writes out the default')
  const limited = fields.peek() === TAG.integer
  // RFC 5280 §4.2.1.9: pathLenConstraint only where cA is asserted.
  if (limited && !isCa) throw malformed('basic constraints', 'limits the path of a certificate that is no CA')
  const limit = limited ? { pathLen: fields.smallInteger() } : {}
  fields.end()
  return { isCa, ...limit }
}

/** May be empty: whether that is taken is the caller's matter. */
export function readKeyUsage(value: Uint8Array): ReadonlySet<KeyUsage> {
  const fields = new DerReader(value, 'key usage')
  const bits = fields.namedBits()
  fields.end()
  return new Set(bits.map(usageOf))
}

function usageOf(bit: number): KeyUsage {
  const usage = KEY_USAGES[bit]
  if (usage === undefined) throw malformed('key usage', 'has a bit without a meaning')
  return usage
}

export function readExtendedKeyUsage(value: Uint8Array): readonly string[] {
  const fields = readDer(value, TAG.sequence, 'extended key usage')
  const purposes: string[] = []
  while (!fields.done) purposes.push(fields.oid())
  if (purposes.length === 0) throw malformed('extended key usage', 'is empty')
  return purposes
}

export function readSubjectKeyId(value: Uint8Array): Uint8Array {
  const fields = new DerReader(value, 'subject key identifier')
  const id = fields.next(TAG.octetString)
  fields.end()
  return id
}

/** undefined: it names the issuer in another way than by its key. */
export function readAuthorityKeyId(value: Uint8Array): Uint8Array | undefined {
  const fields = readDer(value, TAG.sequence, 'authority key identifier')
  const id = fields.optional(0x80)
  // authorityCertIssuer [1] and its serial [2]: RFC 5280 §4.2.1.1 has them together or not at all.
  if (fields.optional(0xa1) !== undefined) fields.expect(0x82)
  fields.end()
  return id?.content
}
