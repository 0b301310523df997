// The extensions of vendors' certificates that the check of an EK acts on. Everything else that is critical is kept by
// its identifier, and the chain that holds it is refused; so are name constraints, which nothing here enforces.
import { DerReader, malformed, readDer, TAG } from '#shared/x509/der.ts'
import { KEY_USAGES, type KeyUsage } from '#shared/x509/extensions.ts'
import { OID } from '#shared/x509/oid.ts'

/** Who made the TPM, in the words of its certificate (TCG EK Credential Profile §3.2.9). */
export interface TpmMake {
  /** `id:` and eight hex digits: the vendor's id of the TCG registry */
  readonly manufacturer: string
  readonly model: string
  /** `id:` and eight hex digits */
  readonly version: string
}

export interface EkExtensions {
  readonly isCa: boolean
  /** how many issuers may follow; absent: no limit of its own */
  readonly pathLen?: number
  /** empty if the extension is absent */
  readonly keyUsage: ReadonlySet<KeyUsage>
  /** dotted identifiers; absent: any use */
  readonly eku?: readonly string[]
  /** the directoryName with the three TCG attributes; absent if there is none */
  readonly make?: TpmMake
  readonly subjectKeyId?: Uint8Array
  readonly authorityKeyId?: Uint8Array
  /** dotted identifiers of those that nothing here enforces and that may not be passed over */
  readonly notUnderstood: readonly string[]
  /** dotted identifiers of those marked critical */
  readonly critical: ReadonlySet<string>
}

const TCG_MANUFACTURER = '2.23.133.2.1'
const TCG_MODEL = '2.23.133.2.2'
const TCG_VERSION = '2.23.133.2.3'
const DIRECTORY_NAME = 0xa4
const MAX_MODEL = 64
const TEXT_TAGS: ReadonlySet<number> = new Set([TAG.utf8String, TAG.printableString, TAG.ia5String])
const VENDOR_ID = /^id:[0-9A-Fa-f]{8}$/
const VISIBLE = /^[\x20-\x7e]+$/

type Draft = { -readonly [K in keyof EkExtensions]?: EkExtensions[K] }
type ReadExtension = (value: Uint8Array, draft: Draft) => void

const READERS: ReadonlyMap<string, ReadExtension> = new Map<string, ReadExtension>([
  [OID.basicConstraints, readBasicConstraints],
  [OID.keyUsage, readKeyUsage],
  [OID.extendedKeyUsage, readExtendedKeyUsage],
  [OID.subjectAltName, readSubjectAltName],
  [OID.subjectKeyId, readSubjectKeyId],
  [OID.authorityKeyId, readAuthorityKeyId],
])

// RFC 5280 §4.2.1.10 to .14: they limit what an issuer may do and MUST be critical, so one that is not is no less refused.
const LIMITS: ReadonlySet<string> = new Set([OID.nameConstraints, '2.5.29.36', '2.5.29.54'])

/** Reads the SEQUENCE OF Extension that `list` is inside of. Throws ZT-422-CERT. */
export function readEkExtensions(list: DerReader): EkExtensions {
  const draft: Draft = {}
  const seen = new Set<string>()
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
    if (seen.has(id)) throw malformed('certificate extension', 'is repeated')
    seen.add(id)
    READERS.get(id)?.(value, draft)
  }
  const notUnderstood = [...seen].filter((id) => LIMITS.has(id) || (critical.has(id) && !READERS.has(id)))
  return { isCa: false, keyUsage: new Set(), ...draft, critical, notUnderstood }
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

// T1: the extension may be critical, so it has to be understood, not passed over: one directoryName with the three TCG
// attributes, once each. Names of other forms beside it (a vendor's URI, a hardware module name) say nothing to us.
function readSubjectAltName(value: Uint8Array, draft: Draft): void {
  const names = readDer(value, TAG.sequence, 'subject alternative name')
  if (names.done) throw malformed('subject alternative name', 'is empty')
  while (!names.done) {
    const name = names.element()
    if (name.tag !== DIRECTORY_NAME) continue
    if (draft.make !== undefined) throw malformed('subject alternative name', 'names two TPMs')
    const inner = names.inside(name.content)
    const make = readMake(inner.enter(TAG.sequence))
    inner.end()
    if (make !== undefined) draft.make = make
  }
}

function readMake(rdns: DerReader): TpmMake | undefined {
  const found = new Map<string, string>()
  while (!rdns.done) {
    // Vendors write the three as one set or as three, in any order: what counts is that each is there once.
    const set = rdns.enter(TAG.set)
    while (!set.done) {
      const attribute = set.enter(TAG.sequence)
      const type = attribute.oid()
      const text = attribute.element()
      attribute.end()
      if (found.has(type)) throw malformed('subject alternative name', 'has an attribute twice')
      if (TEXT_TAGS.has(text.tag)) found.set(type, Buffer.from(text.content).toString('latin1'))
    }
  }
  const [manufacturer, model, version] = [TCG_MANUFACTURER, TCG_MODEL, TCG_VERSION].map((id) => found.get(id))
  if (manufacturer === undefined || model === undefined || version === undefined) return undefined
  const readable = VISIBLE.test(model) && model.length <= MAX_MODEL
  if (!readable || !VENDOR_ID.test(manufacturer) || !VENDOR_ID.test(version))
    throw malformed('subject alternative name', 'has TCG attributes of another form')
  return { manufacturer, model, version }
}
