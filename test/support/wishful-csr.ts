// Requests that wish for what no requester may decide: a subject, names, purposes, to be an authority. Soundly signed.
import { sign } from 'node:crypto'
import type { P256KeyPair } from '#shared/jose/keys.ts'
import { booleanTrue, der, explicit, oid, sequence, wholeBits } from '#shared/x509/der-writer.ts'
import { TAG } from '#shared/x509/der.ts'
import { OID } from '#shared/x509/oid.ts'
import { ECDSA_SHA256, extension } from './raw-certificate.ts'

export interface CsrWish {
  /** DER Name */
  readonly subject?: Uint8Array
  readonly uris?: readonly string[]
  readonly dns?: readonly string[]
  readonly eku?: readonly string[]
  readonly isCa?: true
}

// RFC 2985 §5.4.2: the attribute that carries wished extensions.
const EXTENSION_REQUEST = '1.2.840.113549.1.9.14'

export function wishfulCsr(keys: P256KeyPair, { subject = sequence(), ...wish }: CsrWish): Uint8Array {
  const wished = extensionsOf(wish)
  const attribute = sequence(oid(EXTENSION_REQUEST), der(TAG.set, sequence(...wished)))
  const attributes = wished.length === 0 ? explicit(0) : explicit(0, attribute)
  const info = sequence(Uint8Array.of(2, 1, 0), subject, keys.spki, attributes)
  const signature = sign('sha256', info, { key: keys.privateKey, dsaEncoding: 'der' })
  return sequence(info, ECDSA_SHA256, wholeBits(signature))
}

function extensionsOf({ uris = [], dns = [], eku = [], isCa }: CsrWish): Uint8Array[] {
  const names = [
    ...uris.map((uri) => der(0x86, Buffer.from(uri))),
    ...dns.map((name) => der(0x82, Buffer.from(name))),
  ]
  return [
    ...(names.length === 0 ? [] : [extension(OID.subjectAltName, sequence(...names), true)]),
    ...(eku.length === 0 ? [] : [extension(OID.extendedKeyUsage, sequence(...eku.map(oid)))]),
    ...(isCa === undefined ? [] : [extension(OID.basicConstraints, sequence(booleanTrue()), true)]),
  ]
}
