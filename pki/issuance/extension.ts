// Writes the extensions that our certificates have, in the one form that each has.
import { createHash } from 'node:crypto'
import {
  ascii,
  booleanTrue,
  der,
  explicit,
  implicit,
  integer,
  namedBits,
  octetString,
  oid,
  sequence,
} from '#shared/x509/der-writer.ts'
import { KEY_USAGES, type KeyUsage } from '#shared/x509/extension-values.ts'
import { NAME_TAG } from '#shared/x509/general-name.ts'
import type { Subtrees } from '#shared/x509/name-constraints.ts'
import { OID } from '#shared/x509/oid.ts'

// Encoded once: an SVID has nine of them.
const ENCODED_OID: ReadonlyMap<string, Uint8Array> = new Map(Object.values(OID).map((id) => [id, oid(id)]))

export interface AlternativeNames {
  readonly uri: string
  readonly dns: readonly string[]
  /** 4 or 16 octets each */
  readonly ips: readonly Uint8Array[]
}

// The public key's bit string begins after 26 octets (P-256) or 23 (P-384), and that with `00`, no unused bits.
const POINT_OFFSET: ReadonlyMap<number, number> = new Map([
  [91, 26],
  [120, 23],
])

/** RFC 7093 §2 (1): the first 160 bits of the SHA-256 of the public key's bit string. */
export function keyIdentifier(spki: Uint8Array): Uint8Array {
  const point = spki.subarray(POINT_OFFSET.get(spki.length) ?? 0)
  return createHash('sha256').update(point).digest().subarray(0, 20)
}

export function basicConstraints(pathLen: number): Uint8Array {
  return critical(OID.basicConstraints, sequence(booleanTrue(), integer(Uint8Array.of(pathLen))))
}

export function keyUsage(usages: readonly KeyUsage[]): Uint8Array {
  return critical(OID.keyUsage, namedBits(usages.map((usage) => KEY_USAGES.indexOf(usage))))
}

export function extendedKeyUsage(purposes: readonly string[]): Uint8Array {
  return extension(OID.extendedKeyUsage, sequence(...purposes.map(encoded)))
}

export function subjectKeyId(spki: Uint8Array): Uint8Array {
  return extension(OID.subjectKeyId, octetString(keyIdentifier(spki)))
}

export function authorityKeyId(keyId: Uint8Array): Uint8Array {
  return extension(OID.authorityKeyId, sequence(implicit(0, keyId)))
}

/** Critical where the subject is empty (RFC 5280 §4.1.2.6), and SHOULD NOT be elsewhere (§4.2.1.6). */
export function subjectAltName(names: AlternativeNames, isCritical: boolean): Uint8Array {
  const value = sequence(
    der(NAME_TAG.uri, ascii(names.uri)),
    ...names.dns.map((name) => der(NAME_TAG.dns, ascii(name))),
    ...names.ips.map((address) => der(NAME_TAG.ip, address)),
  )
  return isCritical ? critical(OID.subjectAltName, value) : extension(OID.subjectAltName, value)
}

/** RFC 5280 §4.2.1.10: MUST be critical. */
export function nameConstraints(permitted: Subtrees, excluded: Subtrees): Uint8Array {
  const value = sequence(explicit(0, ...subtrees(permitted)), explicit(1, ...subtrees(excluded)))
  return critical(OID.nameConstraints, value)
}

function subtrees(bases: Subtrees): Uint8Array[] {
  return [
    ...bases.uris.map((base) => sequence(der(NAME_TAG.uri, ascii(base)))),
    ...bases.dns.map((base) => sequence(der(NAME_TAG.dns, ascii(base)))),
    ...bases.emails.map((base) => sequence(der(NAME_TAG.email, ascii(base)))),
    ...bases.ips.map((base) => sequence(der(NAME_TAG.ip, base))),
  ]
}

function extension(id: string, value: Uint8Array): Uint8Array {
  return sequence(encoded(id), octetString(value))
}

function critical(id: string, value: Uint8Array): Uint8Array {
  return sequence(encoded(id), booleanTrue(), octetString(value))
}

function encoded(id: string): Uint8Array {
  return ENCODED_OID.get(id) ?? oid(id)
}
