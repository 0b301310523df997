// "zt-deny+jws": who is refused from now on and whose data is suspect since when, said by a hub and checked on every
// message. A list is only ever replaced by a newer one, so nobody can bring an older list back.
import {
  array,
  integer,
  literal,
  object,
  oneOf,
  optional,
  refuseField,
  string,
  type Parser,
} from '#shared/encoding/shape.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { Identity } from '#shared/identity/identity.ts'
import { principalKind, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import { bytes32Field, lineField, secondsField, spiffeIdField } from './fields.ts'
import { openSigned, signStatement, type SignedContext } from './signed.ts'

export const DENY_TYP = 'zt-deny+jws'
/** Bytes of a signed list, at most: it still fits into one sealed receipt. */
export const MAX_DENY_BYTES: number = 384 * 1024
const MAX_ENTRIES = 4096

/** All times are seconds since 1970. */
export interface DenyEntry {
  readonly kind: 'id' | 'thumbprint'
  /** a SPIFFE ID, or the base64url SHA-256 of a leaf */
  readonly value: string
  /** denied from then on */
  readonly from: number
  readonly reason: string
  /** data from then on is suspect; at most `from`, which it is where it is not said */
  readonly since?: number
  /** denied until then and no longer; what is from before is suspect for ever. Absent while it is denied */
  readonly until?: number
  /** of a certificate: whose it is, and when it ends */
  readonly id?: string
  readonly exp?: number
}

export interface DenyDocument {
  readonly v: 1
  readonly iss: SpiffeId
  /** counts up with every change */
  readonly ver: number
  readonly iat: number
  readonly entries: readonly DenyEntry[]
}

const parseEntryShape: Parser<DenyEntry> = object({
  kind: oneOf(['id', 'thumbprint']),
  value: string({ min: 1, max: 2048 }),
  from: secondsField,
  reason: lineField,
  since: optional(secondsField),
  until: optional(secondsField),
  id: optional(spiffeIdField),
  exp: optional(secondsField),
})

const parseEntry: Parser<DenyEntry> = (value, path) => {
  const entry = parseEntryShape(value, path)
  // An entry that could never match would be a revocation that silently does nothing.
  const form = entry.kind === 'id' ? spiffeIdField : bytes32Field
  form(entry.value, `${path}.value`)
  const { from, since = from, until = from, id, exp } = entry
  if (since > from) return refuseField(`${path}.since`, 'is behind the moment of the denial')
  if (until < from) return refuseField(`${path}.until`, 'is before the moment of the denial')
  if (entry.kind === 'id' && (id !== undefined || exp !== undefined))
    return refuseField(path, 'has a field that belongs to certificates')
  return entry
}

/** True while the entry denies; a closed one only says which data is suspect. */
export function isOpen(entry: DenyEntry): boolean {
  return entry.until === undefined
}

const parseDocument: Parser<DenyDocument> = object({
  v: literal(1),
  iss: spiffeIdField,
  ver: integer({ min: 0 }),
  iat: secondsField,
  entries: array(parseEntry, { max: MAX_ENTRIES }),
})

/** Signs the list as the hub. ZT-422-SCHEMA and ZT-413-SIZE for a list that receivers would refuse. */
export function signDenyList(
  identity: Identity,
  list: { readonly ver: number; readonly entries: readonly DenyEntry[]; readonly now: number },
): string {
  if (list.entries.length > MAX_ENTRIES)
    throw new ZtError('ZT-413-SIZE', `deny list would have more than ${MAX_ENTRIES} entries`)
  const document = {
    v: 1,
    iss: identity.id,
    ver: list.ver,
    iat: Math.floor(list.now / 1000),
    entries: list.entries,
  }
  const text = signStatement(identity, DENY_TYP, parseDocument(document, ''))
  if (text.length > MAX_DENY_BYTES) {
    throw new ZtError('ZT-413-SIZE', `deny list would be larger than ${MAX_DENY_BYTES} bytes`)
  }
  return text
}

/** A list signed by a hub; errors of openSigned(), and ZT-421-MISDIRECTED if the signer is not a hub. */
export function openDenyList(text: string, context: SignedContext): DenyDocument {
  const { payload, svid } = openSigned(text, { typ: DENY_TYP, maxBytes: MAX_DENY_BYTES, ...context })
  const document = parseDocument(payload, '')
  if (principalKind(svid.id) !== 'hub' || document.iss !== svid.id) {
    throw new ZtError('ZT-421-MISDIRECTED', 'deny list is not signed by the hub it names')
  }
  return document
}

/** The list in force in one process. */
export class DenyList {
  #version = -1
  #ids: ReadonlySet<string> = new Set()
  #thumbprints: ReadonlySet<string> = new Set()

  /** Of the list in force; -1 before the first. */
  get version(): number {
    return this.#version
  }

  /** Puts an opened list in force; the one in force again changes nothing. ZT-408-STALE for an older one. */
  replace(document: DenyDocument): void {
    if (document.ver < this.#version)
      throw new ZtError('ZT-408-STALE', 'deny list is older than the one in force')
    if (document.ver === this.#version) return
    const values = (kind: DenyEntry['kind']): ReadonlySet<string> =>
      new Set(
        document.entries.filter((entry) => entry.kind === kind && isOpen(entry)).map(({ value }) => value),
      )
    this.#ids = values('id')
    this.#thumbprints = values('thumbprint')
    this.#version = document.ver
  }

  /** ZT-403-REVOKED if the identity or this certificate is denied. */
  check(svid: { readonly id: SpiffeId; readonly thumbprint: string }): void {
    this.checkThumbprint(svid.thumbprint)
    if (this.deniesId(svid.id)) throw new ZtError('ZT-403-REVOKED', 'the identity is revoked')
  }

  /** True if this name is denied, whoever uses it. */
  deniesId(id: string): boolean {
    return this.#ids.has(id)
  }

  /** ZT-403-REVOKED if this certificate is denied; costs nothing, so it comes before the chain is verified. */
  checkThumbprint(thumbprint: string): void {
    if (this.#thumbprints.has(thumbprint)) throw new ZtError('ZT-403-REVOKED', 'the certificate is revoked')
  }
}
