// A root, one intermediate and any number of SVIDs, made by a certificate library that ztmesh does not verify with.
import 'reflect-metadata'
import { KeyObject, webcrypto } from 'node:crypto'
import * as x509 from '@peculiar/x509'
import type { Identity } from '#shared/identity/identity.ts'
import { parseTrustDomain, type TrustDomain } from '#shared/identity/names.ts'
import { parseSpiffeId, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import { thumbprint } from '#shared/jose/keys.ts'
import type { TrustBundle } from '#shared/x509/bundle.ts'
import { parseCertificate } from '#shared/x509/certificate.ts'
import type { Curve } from '#shared/x509/ec-spki.ts'
import { isCanonicalSignature } from '#shared/x509/ecdsa-signature.ts'
import { SvidValidator } from '#shared/x509/svid.ts'

type Keys = webcrypto.CryptoKeyPair

interface Issuer {
  readonly keys: Keys
  readonly certificate: x509.X509Certificate
}

/** UTC, milliseconds: the middle of the life of every certificate that is made without other times. */
export const TEST_NOW: number = Date.UTC(2026, 10, 22, 12)

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE

x509.cryptoProvider.set(webcrypto as unknown as Crypto)

export class TestAuthority {
  readonly trustDomain: TrustDomain
  readonly root: x509.X509Certificate
  readonly #intermediate: Issuer
  readonly #now: number

  constructor(trustDomain: TrustDomain, root: x509.X509Certificate, made: Issuer & { readonly now: number }) {
    this.trustDomain = trustDomain
    this.root = root
    this.#intermediate = made
    this.#now = made.now
  }

  get bundle(): TrustBundle {
    return {
      trustDomain: this.trustDomain,
      sequence: 1,
      refreshHint: 60,
      roots: [parseCertificate(new Uint8Array(this.root.rawData))],
      revokedIntermediates: [],
    }
  }

  validator(): SvidValidator {
    return new SvidValidator(this.bundle)
  }

  /** An SVID for `path` below the trust domain, alive from 2 minutes before the authority's now to 3 after. */
  async identity(path: string, life: { notBefore?: number; notAfter?: number } = {}): Promise<Identity> {
    const id: SpiffeId = parseSpiffeId(`spiffe://${this.trustDomain}${path}`)
    const { notBefore = this.#now - 2 * MINUTE, notAfter = this.#now + 3 * MINUTE } = life
    const keys = await generate('P-256')
    const leaf = await certify({
      keys,
      issuer: this.#intermediate,
      subject: '',
      life: [notBefore, notAfter],
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']),
        new x509.SubjectAlternativeNameExtension([{ type: 'url', value: id }], true),
      ],
    })
    const der = new Uint8Array(leaf.rawData)
    return {
      id,
      chain: [der, new Uint8Array(this.#intermediate.certificate.rawData)],
      key: KeyObject.from(keys.privateKey),
      notBefore,
      notAfter,
      thumbprint: thumbprint(der),
    }
  }
}

/** `now`: what its certificates are valid around; the real time where a foreign program checks them too. */
export async function createTestAuthority(
  trustDomain: string = 'mesh.example',
  now: number = TEST_NOW,
): Promise<TestAuthority> {
  const rootKeys = await generate('P-384')
  const life: [number, number] = [now - DAY, now + DAY]
  const root = await certify({
    keys: rootKeys,
    subject: `CN=${trustDomain} root`,
    life,
    extensions: authority(1),
  })
  const keys = await generate('P-256')
  const certificate = await certify({
    keys,
    issuer: { keys: rootKeys, certificate: root },
    subject: `CN=${trustDomain} workload`,
    life,
    extensions: authority(0),
  })
  return new TestAuthority(parseTrustDomain(trustDomain), root, { keys, certificate, now })
}

function authority(pathLength: number): x509.Extension[] {
  return [
    new x509.BasicConstraintsExtension(true, pathLength, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
  ]
}

interface Certification {
  readonly keys: Keys
  readonly issuer?: Issuer
  readonly subject: string
  readonly life: readonly [number, number]
  readonly extensions: readonly x509.Extension[]
}

/** Signs until the signature has the smaller s, the only one that is accepted: every second one has. */
async function certify(input: Certification): Promise<x509.X509Certificate> {
  for (;;) {
    const made = await certifyOnce(input)
    const { signature } = parseCertificate(new Uint8Array(made.rawData))
    if (isCanonicalSignature(signature, curveOf(input.issuer?.keys ?? input.keys))) return made
  }
}

async function certifyOnce(input: Certification): Promise<x509.X509Certificate> {
  const issuerKeys = input.issuer?.keys ?? input.keys
  const serial = Buffer.from(webcrypto.getRandomValues(new Uint8Array(16))).toString('hex')
  return await x509.X509CertificateGenerator.create({
    serialNumber: `01${serial}`,
    subject: input.subject,
    issuer: input.issuer?.certificate.subject ?? input.subject,
    notBefore: new Date(input.life[0]),
    notAfter: new Date(input.life[1]),
    publicKey: input.keys.publicKey as CryptoKey,
    signingKey: issuerKeys.privateKey as CryptoKey,
    signingAlgorithm: { name: 'ECDSA', hash: input.issuer === undefined ? 'SHA-384' : hashOf(issuerKeys) },
    extensions: [
      ...input.extensions,
      await x509.SubjectKeyIdentifierExtension.create(input.keys.publicKey as CryptoKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuerKeys.publicKey as CryptoKey),
    ],
  })
}

function hashOf(keys: Keys): string {
  return curveOf(keys) === 'P-384' ? 'SHA-384' : 'SHA-256'
}

function curveOf(keys: Keys): Curve {
  const { namedCurve } = keys.publicKey.algorithm as webcrypto.EcKeyAlgorithm
  return namedCurve === 'P-384' ? 'P-384' : 'P-256'
}

async function generate(namedCurve: 'P-256' | 'P-384'): Promise<Keys> {
  return await webcrypto.subtle.generateKey({ name: 'ECDSA', namedCurve }, true, ['sign', 'verify'])
}
