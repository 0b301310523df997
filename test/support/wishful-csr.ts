// Requests that wish for what no requester may decide: a subject, names, purposes, to be an authority. Soundly signed.
import { sign } from 'node:crypto'
import type { P256KeyPair } from '#shared/jose/keys.ts'
import { booleanTrue, der, explicit, oid, sequence, wholeBits } from '#shared/x509/der-writer.ts'
import { TAG } from '#shared/x509/der.ts'
import { OID } from '#shared/x509/oid.ts'
import { ECDSA_SHA256, extension } from './raw-certificate.ts'

export interface CsrWish {
  /** DER Name */
  readonly subject: Uint8Array
  readonly uris: readonly string[]
  readonly dns: readonly string[]
  readonly eku: readonly string[]
  readonly isCa: boolean
}

// RFC 2985 §5.4.2: the attribute that carries wished extensions.
const EXTENSION_REQUEST = '1.2.840.113549.1.9.14'

export function wishfulCsr(keys: P256KeyPair, wish: CsrWish): Uint8Array {
  const names = [
    ...wish.uris.map((uri) => der(0x86, Buffer.from(uri))),
    ...wish.dns.map((dns) => der(0x82, Buffer.from(dns))),
  ]
  const wished = sequence(
    extension(OID.subjectAltName, sequence(...names), true),
    extension(OID.extendedKeyUsage, sequence(...wish.eku.map(oid))),
    extension(OID.basicConstraints, wish.isCa ? sequence(booleanTrue()) : sequence(), true),
  )
  const attributes = explicit(0, sequence(oid(EXTENSION_REQUEST), der(TAG.set, wished)))
  const info = sequence(Uint8Array.of(2, 1, 0), wish.subject, keys.spki, attributes)
  const signature = sign('sha256', info, { key: keys.privateKey, dsaEncoding: 'der' })
  return sequence(info, ECDSA_SHA256, wholeBits(signature))
}
