// Certificates put together element by element, so that any one of them can be wrong; signed all the same.
import { sign, type KeyObject } from 'node:crypto'
import { commonName } from '#pki/issuance/tbs.ts'
import { generateP256 } from '#shared/jose/keys.ts'
import {
  booleanTrue,
  der,
  explicit,
  integer,
  octetString,
  oid,
  sequence,
  time,
  wholeBits,
} from '#shared/x509/der-writer.ts'
import { canonicalSignature } from '#shared/x509/ecdsa-signature.ts'
import { OID } from '#shared/x509/oid.ts'

const KEYS = generateP256()

export const ECDSA_SHA256: Uint8Array = sequence(oid(OID.ecdsaWithSha256))

export interface RawParts {
  readonly version: Uint8Array
  readonly serial: Uint8Array
  readonly innerAlgorithm: Uint8Array
  readonly issuer: Uint8Array
  readonly validity: Uint8Array
  readonly subject: Uint8Array
  readonly spki: Uint8Array
  /** the [3] element, or what stands in its place */
  readonly extensions: readonly Uint8Array[]
  readonly outerAlgorithm: Uint8Array
  readonly signature?: Uint8Array
  readonly trailing: readonly Uint8Array[]
}

export function extension(id: string, value: Uint8Array, isCritical: boolean = false): Uint8Array {
  return isCritical
    ? sequence(oid(id), booleanTrue(), octetString(value))
    : sequence(oid(id), octetString(value))
}

export const SAN: Uint8Array = extension(
  OID.subjectAltName,
  sequence(der(0x86, Buffer.from('spiffe://mesh.example/node/n1'))),
)

export const wrap = (...extensions: readonly Uint8Array[]): Uint8Array[] => [
  explicit(3, sequence(...extensions)),
]

/** A certificate that parses, unless `change` says otherwise. */
export function rawCertificate(change: Partial<RawParts> = {}, key: KeyObject = KEYS.privateKey): Uint8Array {
  const at = Date.UTC(2026, 10, 22)
  const parts: RawParts = {
    version: explicit(0, integer(Uint8Array.of(2))),
    serial: integer(Uint8Array.of(1, 2, 3)),
    innerAlgorithm: ECDSA_SHA256,
    issuer: commonName('issuer'),
    validity: sequence(time(at), time(at + 300_000)),
    subject: sequence(),
    spki: KEYS.spki,
    extensions: wrap(SAN),
    outerAlgorithm: ECDSA_SHA256,
    trailing: [],
    ...change,
  }
  const { version, serial, innerAlgorithm, issuer, validity, subject, spki } = parts
  const tbs = sequence(version, serial, innerAlgorithm, issuer, validity, subject, spki, ...parts.extensions)
  const signature =
    parts.signature ??
    wholeBits(canonicalSignature(sign('sha256', tbs, { key, dsaEncoding: 'ieee-p1363' }), 'P-256'))
  return sequence(tbs, parts.outerAlgorithm, signature, ...parts.trailing)
}
