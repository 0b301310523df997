// A maker of TPMs in software: a root, an intermediate and EK certificates, each of whose parts a test can bend. The names
// and extensions are those that real vendors and swtpm write.
import { constants, createPublicKey, generateKeyPairSync, sign, type KeyObject } from 'node:crypto'
import { commonName } from '#pki/issuance/tbs.ts'
import { readEkCertificate } from '#hub/attestation/ek-certificate.ts'
import type { EkAuthorities } from '#hub/attestation/ek-chain.ts'
import type { KeyUsage } from '#shared/x509/extension-values.ts'
import { KEY_USAGES } from '#shared/x509/extension-values.ts'
import * as write from '#shared/x509/der-writer.ts'
import { TAG } from '#shared/x509/der.ts'
import { OID } from '#shared/x509/oid.ts'
import { extension } from './raw-certificate.ts'

export interface KeyPair {
  readonly privateKey: KeyObject
  /** DER */
  readonly spki: Uint8Array
}

/** How a certificate is signed: the names of the schemes that vendors use. */
export type CertificateScheme = 'ecdsa-sha256' | 'ecdsa-sha384' | 'rsa-sha256' | 'rsa-sha1' | 'pss-sha256'

export interface CertificateParts {
  readonly subject: string
  readonly issuer: string
  readonly spki: Uint8Array
  readonly extensions: readonly Uint8Array[]
  readonly notBefore: number
  readonly notAfter: number
  readonly scheme: CertificateScheme
  readonly signer: KeyObject
  /** in place of the scheme's own, inside and outside */
  readonly algorithm?: Uint8Array
}

export const VENDOR_FROM: number = Date.UTC(2026, 0, 1)
export const VENDOR_UNTIL: number = Date.UTC(2046, 0, 1)

export function ecKeys(namedCurve: 'P-256' | 'P-384' | 'P-521' = 'P-256'): KeyPair {
  return pairOf(generateKeyPairSync('ec', { namedCurve }).privateKey)
}

export function rsaKeys(modulusLength: number = 2048): KeyPair {
  return pairOf(generateKeyPairSync('rsa', { modulusLength }).privateKey)
}

/** An odd number of 2048 bits that is 65537 modulo all of the first 39 odd primes, as moduli of CVE-2017-15361 are a power of it. */
export function weakModulus(): Uint8Array {
  let product = 2n
  for (let prime = 3n; prime <= 173n; prime += 2n) if (isPrime(prime)) product *= prime
  const modulus = product * (2n ** 2047n / product + 1n) + 65_537n
  return Uint8Array.from(Buffer.from(modulus.toString(16), 'hex'))
}

function isPrime(number: bigint): boolean {
  for (let factor = 2n; factor * factor <= number; factor += 1n) if (number % factor === 0n) return false
  return true
}

const sha256Id = '2.16.840.1.101.3.4.2.1'
const hashOf = (id: string): Uint8Array => write.sequence(write.oid(id), write.der(TAG.null))

/** RSASSA-PSS-params of RFC 4055 §3.1. */
export function pssParameters(hash: string = sha256Id, mask: string = hash, salt: number = 32): Uint8Array {
  const generator = write.sequence(write.oid('1.2.840.113549.1.1.8'), hashOf(mask))
  return write.sequence(
    write.oid('1.2.840.113549.1.1.10'),
    write.sequence(
      write.explicit(0, hashOf(hash)),
      write.explicit(1, generator),
      write.explicit(2, write.integer(Uint8Array.of(salt))),
    ),
  )
}

const ALGORITHM: Readonly<Record<CertificateScheme, Uint8Array>> = {
  'ecdsa-sha256': write.sequence(write.oid(OID.ecdsaWithSha256)),
  'ecdsa-sha384': write.sequence(write.oid(OID.ecdsaWithSha384)),
  'rsa-sha256': write.sequence(write.oid('1.2.840.113549.1.1.11'), write.der(TAG.null)),
  'rsa-sha1': write.sequence(write.oid('1.2.840.113549.1.1.5'), write.der(TAG.null)),
  'pss-sha256': pssParameters(),
}

/** Signed whatever it says. */
export function vendorCertificate(parts: CertificateParts): Uint8Array {
  const { subject, issuer, notBefore, notAfter, spki, scheme } = parts
  const algorithm = parts.algorithm ?? ALGORITHM[scheme]
  const extensions =
    parts.extensions.length === 0 ? [] : [write.explicit(3, write.sequence(...parts.extensions))]
  const tbs = write.sequence(
    write.explicit(0, write.integer(Uint8Array.of(2))),
    write.integer(Uint8Array.of(7)),
    algorithm,
    commonName(issuer),
    write.sequence(write.time(notBefore), write.time(notAfter)),
    subject === '' ? write.sequence() : commonName(subject),
    spki,
    ...extensions,
  )
  return write.sequence(tbs, algorithm, write.wholeBits(signatureOf(tbs, parts)))
}

function signatureOf(tbs: Uint8Array, { scheme, signer }: CertificateParts): Uint8Array {
  const hash = scheme.slice(scheme.indexOf('-') + 1)
  if (scheme !== 'pss-sha256') return sign(hash, tbs, signer)
  return sign(hash, tbs, { key: signer, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 })
}

export const basicConstraints = (isCa: boolean, pathLen?: number): Uint8Array =>
  extension(
    OID.basicConstraints,
    write.sequence(
      ...(isCa ? [write.booleanTrue()] : []),
      ...(pathLen === undefined ? [] : [write.integer(Uint8Array.of(pathLen))]),
    ),
    true,
  )

export const keyUsage = (...usages: readonly KeyUsage[]): Uint8Array =>
  extension(OID.keyUsage, write.namedBits(usages.map((usage) => KEY_USAGES.indexOf(usage))), true)

export const extendedKeyUsage = (...purposes: readonly string[]): Uint8Array =>
  extension(OID.extendedKeyUsage, write.sequence(...purposes.map((purpose) => write.oid(purpose))))

export interface MakeText {
  readonly manufacturer?: string
  readonly model?: string
  readonly version?: string
}

/** The critical directoryName that says whose TPM it is, its attributes in sets of their own or in one. */
export function tcgName(make: MakeText = {}, form: 'sets' | 'one-set' = 'sets'): Uint8Array {
  const { manufacturer = 'id:00001014', model = 'swtpm', version = 'id:20191023' } = make
  const attributes = [manufacturer, model, version].map((value, at) =>
    write.sequence(write.oid(`2.23.133.2.${at + 1}`), write.der(TAG.utf8String, Buffer.from(value))),
  )
  const sets =
    form === 'sets' ? attributes.map((one) => write.der(TAG.set, one)) : [write.der(TAG.set, ...attributes)]
  const name = write.der(0xa4, write.sequence(...sets))
  return extension(OID.subjectAltName, write.sequence(name), true)
}

export const EK_PURPOSE = '2.23.133.8.1'

/** Root and intermediate on P-256, as a vendor would configure them; `ek()` certifies any key as an EK. */
export class VendorCa {
  readonly rootKeys: KeyPair = ecKeys()
  readonly issuerKeys: KeyPair = ecKeys()
  readonly root: Uint8Array
  readonly issuer: Uint8Array

  constructor() {
    this.root = this.authority({})
    this.issuer = this.authority({ subject: 'vendor issuer', spki: this.issuerKeys.spki })
  }

  /** A certificate of an authority that the root signed: its own, unless `change` says otherwise. */
  authority(change: Partial<CertificateParts>): Uint8Array {
    return vendorCertificate({
      ...this.#common(),
      subject: 'vendor root',
      issuer: 'vendor root',
      spki: this.rootKeys.spki,
      extensions: [basicConstraints(true), keyUsage('keyCertSign')],
      signer: this.rootKeys.privateKey,
      ...change,
    })
  }

  ek(spki: Uint8Array, change: Partial<CertificateParts> = {}): Uint8Array {
    return vendorCertificate({
      ...this.#common(),
      subject: '',
      issuer: 'vendor issuer',
      spki,
      extensions: ekExtensions(spki),
      signer: this.issuerKeys.privateKey,
      ...change,
    })
  }

  authorities(): EkAuthorities {
    return { roots: [readEkCertificate(this.root)], intermediates: [readEkCertificate(this.issuer)] }
  }

  #common(): Pick<CertificateParts, 'notBefore' | 'notAfter' | 'scheme'> {
    return { notBefore: VENDOR_FROM, notAfter: VENDOR_UNTIL, scheme: 'ecdsa-sha256' }
  }
}

/** What a genuine EK certificate of that key has. */
export function ekExtensions(spki: Uint8Array): Uint8Array[] {
  const { asymmetricKeyType } = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
  const usage = asymmetricKeyType === 'rsa' ? 'keyEncipherment' : 'keyAgreement'
  return [tcgName(), extendedKeyUsage(EK_PURPOSE), basicConstraints(false), keyUsage(usage)]
}

function pairOf(privateKey: KeyObject): KeyPair {
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
  return { privateKey, spki: Uint8Array.from(spki) }
}
