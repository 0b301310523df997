// Authorities and SVIDs of trust domains that are not ours, in shapes that our own issuance never makes: RSA and three
// curves, any depth, and every single field bent at will. Signed soundly, unless a test says otherwise.
import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { keyIdentifier } from '#pki/issuance/extension.ts'
import { commonName, EMPTY_NAME, serialNumber } from '#pki/issuance/tbs.ts'
import { encodeBase64 } from '#shared/encoding/base64url.ts'
import { spkiOf } from '#shared/jose/keys.ts'
import {
  booleanTrue,
  der,
  explicit,
  implicit,
  integer,
  namedBits,
  octetString,
  oid,
  sequence,
  time,
  wholeBits,
} from '#shared/x509/der-writer.ts'
import { KEY_USAGES, type KeyUsage } from '#shared/x509/extension-values.ts'
import { OID } from '#shared/x509/oid.ts'
import { extension } from './raw-certificate.ts'

export type KeyKind = 'P-256' | 'P-384' | 'P-521' | 'rsa' | 'rsa-1024' | 'ed25519'

export interface ForeignCertificate {
  readonly der: Uint8Array
  /** of the subject */
  readonly key: KeyObject
  readonly spki: Uint8Array
  /** DER Name of the subject */
  readonly name: Uint8Array
}

export interface CertificateWish {
  /** UTC, milliseconds: valid from an hour before to a day after */
  readonly at: number
  readonly notBefore?: number
  readonly notAfter?: number
  /** common name; none: an empty subject */
  readonly name?: string
  readonly kind?: KeyKind
  /** itself unless given */
  readonly issuer?: ForeignCertificate
  /** signs instead of the issuer's key */
  readonly signer?: KeyObject
  readonly uris?: readonly string[]
  readonly dns?: readonly string[]
  /** whole elements of GeneralName */
  readonly otherNames?: readonly Uint8Array[]
  readonly sanIsCritical?: boolean
  /** undefined: no basic constraints at all */
  readonly isCa?: boolean
  readonly pathLen?: number
  readonly usage?: readonly KeyUsage[]
  readonly usageIsCritical?: boolean
  readonly eku?: readonly string[]
  /** host names of permitted URIs */
  readonly permittedUris?: readonly string[]
  /** true unless given: which key is whose */
  readonly keyIds?: boolean
  /** whole elements of Extension */
  readonly extensions?: readonly Uint8Array[]
}

const HOUR = 3_600_000
const URI = 0x86
const DNS = 0x82

interface Algorithm {
  readonly identifier: Uint8Array
  readonly hash: string | null
}

const NULL = Uint8Array.of(0x05, 0x00)

function algorithmOf(key: KeyObject): Algorithm {
  if (key.asymmetricKeyType === 'rsa')
    return { identifier: sequence(oid(OID.sha256WithRsa), NULL), hash: 'sha256' }
  if (key.asymmetricKeyType === 'ed25519') return { identifier: sequence(oid('1.3.101.112')), hash: null }
  const curve = key.asymmetricKeyDetails?.namedCurve
  if (curve === 'secp384r1') return { identifier: sequence(oid(OID.ecdsaWithSha384)), hash: 'sha384' }
  if (curve === 'secp521r1') return { identifier: sequence(oid(OID.ecdsaWithSha512)), hash: 'sha512' }
  return { identifier: sequence(oid(OID.ecdsaWithSha256)), hash: 'sha256' }
}

function newKeys(kind: KeyKind): { privateKey: KeyObject; publicKey: KeyObject } {
  if (kind === 'ed25519') return generateKeyPairSync('ed25519')
  if (kind === 'rsa' || kind === 'rsa-1024')
    return generateKeyPairSync('rsa', { modulusLength: kind === 'rsa' ? 2048 : 1024 })
  return generateKeyPairSync('ec', { namedCurve: kind })
}

/** A certificate as wished. */
export function foreignCertificate(wish: CertificateWish): ForeignCertificate {
  const { privateKey, publicKey } = newKeys(wish.kind ?? 'P-256')
  const spki = spkiOf(publicKey)
  const name = wish.name === undefined ? EMPTY_NAME : commonName(wish.name)
  const subject = { key: privateKey, spki, name }
  const issuer = wish.issuer ?? subject
  const signer = wish.signer ?? issuer.key
  const { identifier, hash } = algorithmOf(signer)
  const [notBefore, notAfter] = [wish.notBefore ?? wish.at - HOUR, wish.notAfter ?? wish.at + 24 * HOUR]
  const tbs = sequence(
    explicit(0, integer(Uint8Array.of(2))),
    integer(serialNumber()),
    identifier,
    issuer.name,
    sequence(time(notBefore), time(notAfter)),
    name,
    spki,
    explicit(3, sequence(...extensionsOf(wish, spki, issuer))),
  )
  const signature = wholeBits(sign(hash, tbs, signer))
  return { ...subject, der: sequence(tbs, identifier, signature) }
}

function extensionsOf(
  wish: CertificateWish,
  spki: Uint8Array,
  issuer: { readonly spki: Uint8Array },
): Uint8Array[] {
  const { isCa, usage, eku, permittedUris, extensions = [], sanIsCritical, usageIsCritical = true } = wish
  const names = [
    ...(wish.uris ?? []).map((uri) => der(URI, Buffer.from(uri))),
    ...(wish.dns ?? []).map((dns) => der(DNS, Buffer.from(dns))),
    ...(wish.otherNames ?? []),
  ]
  const bits = usage && namedBits(usage.map((one) => KEY_USAGES.indexOf(one)))
  const subtrees = (permittedUris ?? []).map((uri) => sequence(der(URI, Buffer.from(uri))))
  return [
    ...(isCa === undefined ? [] : [extension(OID.basicConstraints, constraintsOf(isCa, wish.pathLen), true)]),
    ...(bits === undefined ? [] : [extension(OID.keyUsage, bits, usageIsCritical)]),
    ...(eku === undefined ? [] : [extension(OID.extendedKeyUsage, sequence(...eku.map(oid)))]),
    ...(wish.keyIds === false
      ? []
      : [
          extension(OID.subjectKeyId, octetString(keyIdentifier(spki))),
          extension(OID.authorityKeyId, sequence(implicit(0, keyIdentifier(issuer.spki)))),
        ]),
    ...(subtrees.length === 0
      ? []
      : [extension(OID.nameConstraints, sequence(explicit(0, ...subtrees)), true)]),
    ...(names.length === 0
      ? []
      : [extension(OID.subjectAltName, sequence(...names), sanIsCritical ?? wish.name === undefined)]),
    ...extensions,
  ]
}

function constraintsOf(isCa: boolean, pathLen: number | undefined): Uint8Array {
  if (!isCa) return sequence()
  return pathLen === undefined
    ? sequence(booleanTrue())
    : sequence(booleanTrue(), integer(Uint8Array.of(pathLen)))
}

/** A certification authority of `trustDomain` as SPIRE makes them. */
export function foreignCa(trustDomain: string, wish: CertificateWish): ForeignCertificate {
  return foreignCertificate({
    name: `authority of ${trustDomain}`,
    isCa: true,
    usage: ['keyCertSign', 'cRLSign'],
    uris: [`spiffe://${trustDomain}`],
    ...wish,
  })
}

/** A leaf as SPIRE makes them: one URI, a subject, both purposes. */
export function foreignLeaf(
  issuer: ForeignCertificate,
  uri: string,
  wish: CertificateWish,
): ForeignCertificate {
  return foreignCertificate({
    issuer,
    name: 'workload',
    isCa: false,
    usage: ['digitalSignature', 'keyEncipherment', 'keyAgreement'],
    eku: [OID.serverAuth, OID.clientAuth],
    uris: [uri],
    ...wish,
  })
}

/** One entry of a bundle document for that authority, with members bent as wished. */
export function x509Jwk(ca: ForeignCertificate, change: object = {}): Record<string, unknown> {
  const publicJwk = publicJwkOf(ca.key)
  return { use: 'x509-svid', ...publicJwk, x5c: [encodeBase64(ca.der)], ...change }
}

/** The public members of a key. */
export function publicJwkOf(key: KeyObject): Record<string, unknown> {
  const { kty, crv, x, y, n, e } = key.export({ format: 'jwk' })
  return Object.fromEntries(
    Object.entries({ kty, crv, x, y, n, e }).filter(([, value]) => value !== undefined),
  )
}

/** A bundle document of these entries. */
export function bundleText(keys: readonly unknown[], members: object = {}): string {
  return JSON.stringify({ spiffe_sequence: 1, spiffe_refresh_hint: 300, keys, ...members })
}
