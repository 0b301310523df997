// The extensions of vendors' certificates that the check of an EK acts on. Everything else that is critical is kept by
// its identifier, and the chain that holds it is refused; so are name constraints, which nothing here enforces.
import { malformed, readDer, TAG, type DerReader } from '#shared/x509/der.ts'
import {
  readAuthorityKeyId,
  readBasicConstraints,
  readExtendedKeyUsage,
  readExtensionList,
  readKeyUsage,
  readSubjectKeyId,
  type KeyUsage,
} from '#shared/x509/extension-values.ts'
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
  [OID.basicConstraints, (value, draft) => void Object.assign(draft, readBasicConstraints(value))],
  [OID.keyUsage, (value, draft) => void (draft.keyUsage = readKeyUsage(value))],
  [OID.extendedKeyUsage, (value, draft) => void (draft.eku = readExtendedKeyUsage(value))],
  [OID.subjectAltName, readSubjectAltName],
  [OID.subjectKeyId, (value, draft) => void (draft.subjectKeyId = readSubjectKeyId(value))],
  [OID.authorityKeyId, readIssuerKeyId],
])

// RFC 5280 §4.2.1.10 to .14: they limit what an issuer may do and MUST be critical, so one that is not is no less refused.
const LIMITS: ReadonlySet<string> = new Set([OID.nameConstraints, '2.5.29.36', '2.5.29.54'])

/** Reads the SEQUENCE OF Extension that `list` is inside of. Throws ZT-422-CERT. */
export function readEkExtensions(list: DerReader): EkExtensions {
  const draft: Draft = {}
  const { all, critical } = readExtensionList(list, (id, value) => READERS.get(id)?.(value, draft))
  const notUnderstood = [...all].filter((id) => LIMITS.has(id) || (critical.has(id) && !READERS.has(id)))
  return { isCa: false, keyUsage: new Set(), ...draft, critical, notUnderstood }
}

function readIssuerKeyId(value: Uint8Array, draft: Draft): void {
  const id = readAuthorityKeyId(value)
  if (id !== undefined) draft.authorityKeyId = id
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
