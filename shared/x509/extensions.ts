// The extensions of RFC 5280 §4.2 that ztmesh acts on. Anything else that is critical is kept by its identifier, and
// path validation refuses it.
import { malformed, readDer, TAG, type DerReader } from './der.ts'
import {
  readAuthorityKeyId,
  readBasicConstraints,
  readExtendedKeyUsage,
  readExtensionList,
  readKeyUsage,
  readSubjectKeyId,
  type KeyUsage,
} from './extension-values.ts'
import { NO_NAMES, readGeneralNames, type GeneralNames } from './general-name.ts'
import { readNameConstraints, type NameConstraints } from './name-constraints.ts'
import { OID } from './oid.ts'

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
  [OID.basicConstraints, (value, draft) => void Object.assign(draft, readBasicConstraints(value))],
  [OID.keyUsage, readSomeKeyUsage],
  [OID.extendedKeyUsage, (value, draft) => void (draft.eku = readExtendedKeyUsage(value))],
  [OID.subjectAltName, readSubjectAltName],
  [OID.nameConstraints, (value, draft) => void (draft.nameConstraints = readNameConstraints(value))],
  [OID.subjectKeyId, (value, draft) => void (draft.subjectKeyId = readSubjectKeyId(value))],
  [OID.authorityKeyId, readIssuerKeyId],
])

/** Reads the SEQUENCE OF Extension that `list` is inside of. Throws ZT-422-CERT. */
export function readExtensions(list: DerReader): Extensions {
  const draft: Draft = {}
  if (list.done) throw malformed('certificate extensions', 'is empty')
  const { all, critical } = readExtensionList(list, (id, value) => READERS.get(id)?.(value, draft))
  return {
    sans: NO_NAMES,
    isCa: false,
    keyUsage: new Set(),
    ...draft,
    extensionIds: [...all],
    critical,
    unknownCritical: [...critical].filter((id) => !READERS.has(id)),
  }
}

function readSomeKeyUsage(value: Uint8Array, draft: Draft): void {
  const usages = readKeyUsage(value)
  // RFC 5280 §4.2.1.3: at least one of the bits MUST be set.
  if (usages.size === 0) throw malformed('key usage', 'is empty')
  draft.keyUsage = usages
}

function readSubjectAltName(value: Uint8Array, draft: Draft): void {
  draft.sans = readGeneralNames(
    readDer(value, TAG.sequence, 'subject alternative name'),
    'subject alternative name',
  )
}

function readIssuerKeyId(value: Uint8Array, draft: Draft): void {
  const id = readAuthorityKeyId(value)
  if (id !== undefined) draft.authorityKeyId = id
}
