// Makes the to-be-signed part of a certificate from its profile and the few things that differ, and puts certificates
// together. Nothing of a requester gets in here but a public key.
import { randomBytes } from 'node:crypto'
import type { Curve } from '#shared/x509/ec-spki.ts'
import { der, explicit, integer, oid, sequence, time, wholeBits } from '#shared/x509/der-writer.ts'
import { TAG } from '#shared/x509/der.ts'
import type { NameConstraints } from '#shared/x509/name-constraints.ts'
import { OID } from '#shared/x509/oid.ts'
import {
  authorityKeyId,
  basicConstraints,
  extendedKeyUsage,
  keyUsage,
  nameConstraints,
  subjectAltName,
  subjectKeyId,
  type AlternativeNames,
} from './extension.ts'
import type { Profile } from './profile.ts'
import { quorumPin } from './quorum-pin.ts'

export interface Template {
  readonly profile: Profile
  /** see serialNumber() */
  readonly serial: Uint8Array
  /** DER Name */
  readonly issuer: Uint8Array
  /** DER Name */
  readonly subject: Uint8Array
  /** UTC, milliseconds; whole seconds */
  readonly notBefore: number
  /** UTC, milliseconds; whole seconds */
  readonly notAfter: number
  /** DER SubjectPublicKeyInfo */
  readonly spki: Uint8Array
  readonly names: AlternativeNames
  readonly constraints?: NameConstraints
  /** digest of the quorum that a root pins: see quorum-pin.ts */
  readonly quorum?: Uint8Array
  /** subject key identifier of the issuer */
  readonly issuerKeyId: Uint8Array
}

export const EMPTY_NAME: Uint8Array = sequence()

const VERSION_3 = explicit(0, integer(Uint8Array.of(2)))

/** RFC 5758 §3.2: no parameters. */
const ALGORITHM: Readonly<Record<Curve, Uint8Array>> = {
  'P-256': sequence(oid(OID.ecdsaWithSha256)),
  'P-384': sequence(oid(OID.ecdsaWithSha384)),
}

/** A Name of one common name. */
export function commonName(text: string): Uint8Array {
  const value = der(TAG.utf8String, Buffer.from(text, 'utf8'))
  return sequence(der(TAG.set, sequence(oid(OID.commonName), value)))
}

/** 128 random bits behind a leading 01, which keeps the number positive and every serial 17 octets long. */
export function serialNumber(random: Uint8Array = randomBytes(16)): Uint8Array {
  return Uint8Array.from([1, ...random])
}

export function buildTbs(template: Template): Uint8Array {
  const { profile } = template
  return sequence(
    VERSION_3,
    der(TAG.integer, template.serial),
    ALGORITHM[profile.issuerCurve],
    template.issuer,
    sequence(time(template.notBefore), time(template.notAfter)),
    template.subject,
    template.spki,
    explicit(3, sequence(...extensionsOf(template))),
  )
}

/** RFC 5280 §4.1: the signed certificate. `signature` is DER. */
export function assembleCertificate(tbs: Uint8Array, issuerCurve: Curve, signature: Uint8Array): Uint8Array {
  return sequence(tbs, ALGORITHM[issuerCurve], wholeBits(signature))
}

function extensionsOf({ profile, ...template }: Template): Uint8Array[] {
  const isSubjectEmpty = template.subject.length === EMPTY_NAME.length
  const extensions = [keyUsage(profile.keyUsage), subjectAltName(template.names, isSubjectEmpty)]
  if (profile.ca !== undefined) extensions.push(basicConstraints(profile.ca.pathLen))
  if (template.constraints !== undefined) {
    extensions.push(nameConstraints(template.constraints.permitted, template.constraints.excluded))
  }
  if (template.quorum !== undefined) extensions.push(quorumPin(template.quorum))
  if (profile.extendedKeyUsage.length > 0) extensions.push(extendedKeyUsage(profile.extendedKeyUsage))
  extensions.push(subjectKeyId(template.spki), authorityKeyId(template.issuerKeyId))
  return extensions
}
