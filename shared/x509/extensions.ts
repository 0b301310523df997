// The extensions of RFC 5280 §4.2 that ztmesh acts on. Anything else that is critical is kept by its identifier, and
// path validation refuses it.
import { DerReader, malformed, readDer, TAG } from './der.ts'
import { NO_NAMES, readGeneralNames, type GeneralNames } from './general-name.ts'
import { readNameConstraints, type NameConstraints } from './name-constraints.ts'
import { OID } from './oid.ts'

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

export interface Extensions {
  readonly sans: GeneralNames
  readonly isCa: boolean
  /** how many intermediates may follow; absent: no limit of its own */
  readonly pathLen?: number
  /** empty if the extension is absent */
  readonly keyUsage: ReadonlySet<KeyUsage>
  /** dotted identifiers; absent: any use */
  readonly eku?: readonly string[]
  readonly nameConstraints?: NameConstraints
  readonly subjectKeyId?: Uint8Array
  readonly authorityKeyId?: Uint8Array
  /** dotted identifiers of all extensions, in order */
  readonly extensionIds: readonly string[]
  /** dotted identifiers of those marked critical */
  readonly critical: ReadonlySet<string>
  /** those of `critical` that nothing here understands */
  readonly unknownCritical: readonly string[]
}

type Draft = { -readonly [K in keyof Extensions]?: Extensions[K] }
type ReadExtension = (value: Uint8Array, draft: Draft) => void

const READERS: ReadonlyMap<string, ReadExtension> = new Map<string, ReadExtension>([
  [OID.basicConstraints, readBasicConstraints],
  [OID.keyUsage, readKeyUsage],
  [OID.extendedKeyUsage, readExtendedKeyUsage],
  [OID.subjectAltName, readSubjectAltName],
  [OID.nameConstraints, (value, draft) => void (draft.nameConstraints = readNameConstraints(value))],
  [OID.subjectKeyId, readSubjectKeyId],
  [OID.authorityKeyId, readAuthorityKeyId],
])

/** Reads the SEQUENCE OF Extension that `list` is inside of. Throws ZT-422-CERT. */
export function readExtensions(list: DerReader): Extensions {
  const draft: Draft = {}
  const seen = new Set<string>()
  const critical = new Set<string>()
  if (list.done) throw malformed('certificate extensions', 'is empty')
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
    if (seen.has(id)) throw malformed('certificate extension', 'is repeated')
    seen.add(id)
    READERS.get(id)?.(value, draft)
  }
  return {
    sans: NO_NAMES,
    isCa: false,
    keyUsage: new Set(),
    ...draft,
    extensionIds: [...seen],
    critical,
    unknownCritical: [...critical].filter((id) => !READERS.has(id)),
  }
}

function readBasicConstraints(value: Uint8Array, draft: Draft): void {
  const fields = readDer(value, TAG.sequence, 'basic constraints')
  draft.isCa = fields.peek() === TAG.boolean
  if (draft.isCa && !fields.boolean()) throw malformed('basic constraints', 'writes out the default')
  if (fields.peek() === TAG.integer) {
    // RFC 5280 §4.2.1.9: pathLenConstraint only where cA is asserted.
    if (!draft.isCa) throw malformed('basic constraints', 'limits the path of a certificate that is no CA')
    draft.pathLen = fields.smallInteger()
  }
  fields.end()
}

function readKeyUsage(value: Uint8Array, draft: Draft): void {
  const fields = new DerReader(value, 'key usage')
  const bits = fields.namedBits()
  fields.end()
  // RFC 5280 §4.2.1.3: at least one of the bits MUST be set.
  if (bits.length === 0) throw malformed('key usage', 'is empty')
  draft.keyUsage = new Set(bits.map(usageOf))
}

function usageOf(bit: number): KeyUsage {
  const usage = KEY_USAGES[bit]
  if (usage === undefined) throw malformed('key usage', 'has a bit without a meaning')
  return usage
}

function readExtendedKeyUsage(value: Uint8Array, draft: Draft): void {
  const fields = readDer(value, TAG.sequence, 'extended key usage')
  const purposes: string[] = []
  while (!fields.done) purposes.push(fields.oid())
  if (purposes.length === 0) throw malformed('extended key usage', 'is empty')
  draft.eku = purposes
}

function readSubjectAltName(value: Uint8Array, draft: Draft): void {
  draft.sans = readGeneralNames(
    readDer(value, TAG.sequence, 'subject alternative name'),
    'subject alternative name',
  )
}

function readSubjectKeyId(value: Uint8Array, draft: Draft): void {
  const fields = new DerReader(value, 'subject key identifier')
  draft.subjectKeyId = fields.next(TAG.octetString)
  fields.end()
}

function readAuthorityKeyId(value: Uint8Array, draft: Draft): void {
  const fields = readDer(value, TAG.sequence, 'authority key identifier')
  const id = fields.optional(0x80)
  if (id !== undefined) draft.authorityKeyId = id.content
  // authorityCertIssuer [1] and its serial [2]: RFC 5280 §4.2.1.1 has them together or not at all.
  if (fields.optional(0xa1) !== undefined) fields.expect(0x82)
  fields.end()
}
