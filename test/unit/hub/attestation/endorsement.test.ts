// Only the EK of a trusted vendor's own certificate is an EK: T1 to T3, each with its code and its reason.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { verifyEndorsement, type EndorsementTrust } from '#hub/attestation/endorsement.ts'
import { readEkCertificate } from '#hub/attestation/ek-certificate.ts'
import { encodePublic2b, type EccPublic, type RsaPublic, type TpmPublic } from '#shared/tpm/public.ts'
import { spkiOfPublic } from '#shared/tpm/spki.ts'
import { ENDORSEMENT_TEMPLATES, type EndorsementKind } from '#shared/tpm/templates.ts'
import { oid, sequence } from '#shared/x509/der-writer.ts'
import { OID } from '#shared/x509/oid.ts'
import { modulusOf, pointOf } from '#test/support/forged-tpm.ts'
import { extension } from '#test/support/raw-certificate.ts'
import {
  basicConstraints,
  ecKeys,
  EK_PURPOSE,
  ekExtensions,
  extendedKeyUsage,
  keyUsage,
  rsaKeys,
  tcgName,
  VendorCa,
  VENDOR_FROM,
  VENDOR_UNTIL,
  weakModulus,
  type CertificateParts,
  type KeyPair,
} from '#test/support/vendor-ca.ts'

const NOW = Date.UTC(2026, 10, 22)
const ca = new VendorCa()
const keys = ecKeys()
const TRUST: EndorsementTrust = { ...ca.authorities(), denied: new Set() }

function area(kind: EndorsementKind, { spki }: KeyPair): TpmPublic {
  const form = ENDORSEMENT_TEMPLATES.get(kind)?.area
  assert.ok(form)
  if (form.type === 'rsa') return { ...form, unique: modulusOf(spki) } satisfies RsaPublic
  return { ...form, unique: pointOf(spki) } satisfies EccPublic
}

const EK = area('ecc-p256', keys)
const PUBLIC = encodePublic2b(EK)

function judge(certificate: Uint8Array, trust: Partial<EndorsementTrust> = {}, now: number = NOW): string {
  const evidence = { certificates: [certificate], public: PUBLIC }
  return verifyEndorsement(evidence, { ...TRUST, ...trust }, now).sha256
}

const ek = (change: Partial<CertificateParts> = {}): Uint8Array => ca.ek(keys.spki, change)
const refusal = (code: string, reason: string): object => ({ code, details: { reason } })

describe('an endorsement key', () => {
  const kinds: Record<EndorsementKind, () => KeyPair> = {
    'ecc-p256': ecKeys,
    'rsa-2048': rsaKeys,
    'ecc-p384-high': () => ecKeys('P-384'),
    'ecc-p256-high': ecKeys,
    'rsa-2048-high': rsaKeys,
    'rsa-3072-high': () => rsaKeys(3072),
  }
  for (const [kind, make] of Object.entries(kinds))
    it(`is accepted in the form ${kind}`, () => {
      const pair = make()
      const evidence = {
        certificates: [ca.ek(pair.spki)],
        public: encodePublic2b(area(kind as EndorsementKind, pair)),
      }
      const verified = verifyEndorsement(evidence, TRUST, NOW)
      assert.equal(verified.manufacturer, 'id:00001014')
      assert.equal(verified.sha256.length, 64)
    })

  it('is accepted with a certificate that is padded as its NV index is', () => {
    assert.equal(judge(Buffer.concat([ek(), Buffer.alloc(64, 0xff)])), judge(ek()))
  })

  it('is accepted when only the node holds the intermediate', () => {
    const evidence = { certificates: [ek(), ca.issuer], public: PUBLIC }
    verifyEndorsement(evidence, { ...TRUST, intermediates: [] }, NOW)
  })

  it('is the one of its certificate (A11)', () => {
    assert.throws(() => judge(ca.ek(ecKeys().spki)), refusal('ZT-401-TPM-EK', 'key'))
  })

  const forms: Record<string, TpmPublic> = {
    'that also signs': { ...EK, attributes: new Set([...EK.attributes, 'sign']) },
    'that can be copied': {
      ...EK,
      attributes: new Set([...EK.attributes].filter((name) => name !== 'fixedTPM')),
    },
    'that anybody may use': { ...EK, authPolicy: new Uint8Array() },
    'that decrypts anything': {
      ...EK,
      attributes: new Set([...EK.attributes].filter((name) => name !== 'restricted')),
    },
  }
  for (const [what, bent] of Object.entries(forms))
    it(`is refused in a form ${what}`, () => {
      const evidence = { certificates: [ek()], public: encodePublic2b(bent) }
      assert.throws(
        () => verifyEndorsement(evidence, TRUST, NOW),
        refusal('ZT-401-TPM-EK-TEMPLATE', 'template'),
      )
    })

  it('is refused if it can be factored', () => {
    const form = ENDORSEMENT_TEMPLATES.get('rsa-2048')?.area
    assert.ok(form?.type === 'rsa')
    const weak: RsaPublic = { ...form, unique: weakModulus() }
    const evidence = { certificates: [ca.ek(spkiOfPublic(weak))], public: encodePublic2b(weak) }
    assert.throws(() => verifyEndorsement(evidence, TRUST, NOW), refusal('ZT-401-TPM-EK', 'weak-key'))
  })

  it('is refused on the deny list, and off the allow list', () => {
    const sha256 = judge(ek())
    assert.throws(() => judge(ek(), { denied: new Set([sha256]) }), refusal('ZT-403-TPM-EK', 'denied'))
    assert.throws(() => judge(ek(), { allowed: new Set() }), refusal('ZT-403-TPM-EK', 'not-allowed'))
    assert.equal(judge(ek(), { allowed: new Set([sha256]) }), sha256)
  })
})

describe('an EK certificate', () => {
  const profile: Record<string, readonly [string, () => Uint8Array]> = {
    'of a certification authority': [
      'is-ca',
      () => ek({ extensions: [tcgName(), basicConstraints(true), keyUsage('keyAgreement', 'keyCertSign')] }),
    ],
    'whose key may sign certificates': [
      'key-usage',
      () => ek({ extensions: [tcgName(), keyUsage('keyAgreement', 'keyCertSign')] }),
    ],
    'whose key may sign': [
      'key-usage',
      () => ek({ extensions: [tcgName(), keyUsage('digitalSignature', 'keyAgreement')] }),
    ],
    'without a key usage': ['key-usage', () => ek({ extensions: [tcgName()] })],
    'with the key usage of the other kind': [
      'key-usage',
      () => ek({ extensions: [tcgName(), keyUsage('keyEncipherment')] }),
    ],
    'for TLS servers': [
      'extended-key-usage',
      () => ek({ extensions: [tcgName(), keyUsage('keyAgreement'), extendedKeyUsage('1.3.6.1.5.5.7.3.1')] }),
    ],
    'that names no TPM': ['subject-alt-name', () => ek({ extensions: [keyUsage('keyAgreement')] })],
    'that is not one': ['malformed', () => Buffer.from('not a certificate')],
  }
  for (const [what, [reason, make]] of Object.entries(profile))
    it(`is refused: one ${what}`, () => {
      assert.throws(() => judge(make()), refusal('ZT-401-TPM-EK-CERT', reason))
    })

  it('is refused if there is none, and if there are five', () => {
    const judged = (certificates: readonly Uint8Array[]): unknown =>
      verifyEndorsement({ certificates, public: PUBLIC }, TRUST, NOW)
    assert.throws(() => judged([]), refusal('ZT-401-TPM-EK-CERT', 'missing'))
    assert.throws(() => judged([ek(), ek(), ek(), ek(), ek()]), { code: 'ZT-413-SIZE' })
  })
})

describe('the chain of an EK certificate', () => {
  const stranger = new VendorCa()
  const limited = extension('2.5.29.30', Buffer.from('3000', 'hex'))
  const unknown = extension('1.2.3.4', Buffer.from('0500', 'hex'), true)
  const issuerWith = (change: Partial<CertificateParts>): Partial<EndorsementTrust> => ({
    intermediates: [
      readEkCertificate(ca.authority({ subject: 'vendor issuer', spki: ca.issuerKeys.spki, ...change })),
    ],
  })
  const CA = [basicConstraints(true), keyUsage('keyCertSign')]
  const chains: Record<string, readonly [string, () => unknown]> = {
    'of another vendor': ['signature', () => judge(stranger.ek(keys.spki))],
    'with nobody trusted': ['untrusted', () => judge(ek(), { roots: [] })],
    'without its intermediate': ['untrusted', () => judge(ek(), { intermediates: [] })],
    'of the certificate itself': [
      'untrusted',
      () => judge(ek({ issuer: 'self', subject: 'self', signer: keys.privateKey })),
    ],
    'that has expired': ['expired', () => judge(ek(), {}, VENDOR_UNTIL + 1000)],
    'that is not valid yet': ['not-yet-valid', () => judge(ek(), {}, VENDOR_FROM - 1)],
    'whose leaf has expired': ['expired', () => judge(ek({ notAfter: NOW - 1000 }))],
    'with an expired intermediate': ['expired', () => judge(ek(), issuerWith({ notAfter: NOW - 1000 }))],
    'over an issuer that is no CA': [
      'not-a-ca',
      () => judge(ek(), issuerWith({ extensions: ekExtensions(keys.spki) })),
    ],
    'over an issuer that may not sign': [
      'key-usage',
      () => judge(ek(), issuerWith({ extensions: [basicConstraints(true), keyUsage('cRLSign')] })),
    ],
    'over an issuer for another purpose': [
      'extended-key-usage',
      () => judge(ek(), issuerWith({ extensions: [...CA, extendedKeyUsage('1.3.6.1.5.5.7.3.1')] })),
    ],
    'over an issuer with name constraints': [
      'not-understood',
      () => judge(ek(), issuerWith({ extensions: [...CA, limited] })),
    ],
    'with an unknown critical extension': [
      'not-understood',
      () => judge(ek({ extensions: [...ekExtensions(keys.spki), unknown] })),
    ],
    'longer than its root allows': [
      'path-length',
      () =>
        judge(ek(), {
          roots: [
            readEkCertificate(
              ca.authority({ extensions: [basicConstraints(true, 0), keyUsage('keyCertSign')] }),
            ),
          ],
        }),
    ],
    'with its signature changed': [
      'signature',
      () => {
        const der = Buffer.from(ek())
        der[der.length - 1] = (der.at(-1) ?? 0) ^ 1
        return judge(der)
      },
    ],
  }
  for (const [what, [reason, run]] of Object.entries(chains))
    it(`is refused: one ${what}`, () => {
      assert.throws(run, refusal('ZT-401-TPM-EK-CHAIN', reason))
    })

  it('is refused if it is signed in another scheme than it says', () => {
    const rsa = rsaKeys()
    const issuer = issuerWith({ spki: rsa.spki })
    const signed = { scheme: 'rsa-sha256', signer: rsa.privateKey } as const
    judge(ek(signed), issuer)
    const algorithm = sequence(oid(OID.ecdsaWithSha256))
    assert.throws(
      () => judge(ek({ ...signed, algorithm }), issuer),
      refusal('ZT-401-TPM-EK-CHAIN', 'signature'),
    )
  })

  it('is accepted over an issuer that may issue EK certificates', () => {
    judge(ek(), issuerWith({ extensions: [...CA, extendedKeyUsage(EK_PURPOSE)] }))
  })

  it('is refused from the fifth issuer on, and accepted to the fourth', () => {
    const chainOf = (length: number): Partial<EndorsementTrust> => ({
      intermediates: Array.from({ length }, (_, at) =>
        readEkCertificate(
          ca.authority({
            subject: at === 0 ? 'vendor issuer' : `level ${at}`,
            issuer: at === length - 1 ? 'vendor root' : `level ${at + 1}`,
            spki: at === 0 ? ca.issuerKeys.spki : ca.rootKeys.spki,
          }),
        ),
      ),
    })
    judge(ek(), chainOf(3))
    assert.throws(() => judge(ek(), chainOf(4)), refusal('ZT-401-TPM-EK-CHAIN', 'untrusted'))
  })

  it('costs at most sixteen signatures, however many issuers of one name there are', () => {
    const wrong = Array.from({ length: 20 }, () =>
      readEkCertificate(ca.authority({ subject: 'vendor issuer', spki: ecKeys().spki })),
    )
    assert.throws(() => judge(ek(), { intermediates: wrong }), refusal('ZT-401-TPM-EK-CHAIN', 'effort'))
  })
})
