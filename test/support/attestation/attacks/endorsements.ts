// A11, A14, A15 and A16: endorsement keys of other TPMs, other makers, or of nobody.
import { createHash } from 'node:crypto'
import { encodePublic2b } from '#shared/tpm/public.ts'
import { ENDORSEMENT_TEMPLATES } from '#shared/tpm/templates.ts'
import * as write from '#shared/x509/der-writer.ts'
import { OID } from '#shared/x509/oid.ts'
import { pointOf } from '../../forged-tpm.ts'
import { parseNodeName } from '#shared/identity/names.ts'
import { extension } from '../../raw-certificate.ts'
import {
  basicConstraints,
  ecKeys,
  keyUsage,
  tcgName,
  VendorCa,
  VENDOR_FROM,
  type CertificateParts,
} from '../../vendor-ca.ts'
import type { AttackCase, CaseKnowledge, RegisteredMachine } from '../case.ts'
import { logOf, NODE } from '../asked.ts'
import { genuineJoin, genuineRenewal, knownTo, registered, type Rig } from '../rig.ts'
import { attackCase, FROM_TPM, type CaseParts } from './made.ts'

const BY_HAND = 'the certificate by hand, over the genuine EK of swtpm; the rest by swtpm'

type Join = Awaited<ReturnType<typeof genuineJoin>> & { readonly rig: Rig }

export async function endorsementCases(rig: Rig): Promise<AttackCase[]> {
  const join = { rig, ...(await genuineJoin(rig, rig.x)) }
  const { certificates } = await rig.y.attester.endorsement()
  const parts = withCertificates(join, certificates)
  const mixed = { attack: 'A11', made: FROM_TPM, expect: 'ZT-401-TPM-EK' } as const
  return [
    attackCase(
      'a11-certificate-of-another-tpm',
      { ...mixed, what: 'the EK certificate of one TPM with the EK of another (CVE-2021-3406)' },
      parts,
    ),
    ...chains(join),
    ...profiles(join),
    ...trust(join),
    ...(await renewals(rig)),
    ...(await takenNames(join)),
  ]
}

/** A14: who made the certificate. */
function chains(join: Join): AttackCase[] {
  const { rig } = join
  const vendor = new VendorCa()
  const stranger = new VendorCa()
  const { spki } = join.ek
  const known = { roots: [vendor.root], intermediates: [vendor.issuer] }
  const of = (certificate: Uint8Array, change: Partial<CaseKnowledge> = {}): CaseParts =>
    withCertificates(join, [certificate], { ...known, ...change })
  const chain = { attack: 'A14', made: BY_HAND, expect: 'ZT-401-TPM-EK-CHAIN' } as const
  const expired = { notBefore: VENDOR_FROM, notAfter: rig.now - 1000 }
  const self = { subject: 'self', issuer: 'self', signer: vendor.issuerKeys.privateKey }
  const issuedBy = (extensions: readonly Uint8Array[]): Partial<CaseKnowledge> => ({
    intermediates: [vendor.authority({ subject: 'vendor issuer', spki: vendor.issuerKeys.spki, extensions })],
  })
  const limited = vendor.authority({ extensions: [basicConstraints(true, 0), keyUsage('keyCertSign')] })
  return [
    attackCase(
      'a14-expired',
      { ...chain, what: 'the EK certificate has expired' },
      of(vendor.ek(spki, expired)),
    ),
    attackCase(
      'a14-not-yet-valid',
      { ...chain, what: 'the EK certificate is not valid yet' },
      of(vendor.ek(spki, { notBefore: rig.now + 3_600_000 })),
    ),
    attackCase(
      'a14-expired-issuer',
      { ...chain, what: 'the intermediate of the EK certificate has expired' },
      of(vendor.ek(spki), {
        intermediates: [
          vendor.authority({ subject: 'vendor issuer', spki: vendor.issuerKeys.spki, ...expired }),
        ],
      }),
    ),
    attackCase(
      'a14-unknown-root',
      { ...chain, what: 'a chain to a root of the same name that is not trusted' },
      withCertificates(join, [stranger.ek(spki), stranger.issuer, stranger.root], known),
    ),
    attackCase(
      'a14-self-signed',
      { ...chain, what: 'an EK certificate that is its own issuer' },
      of(vendor.ek(spki, self)),
    ),
    attackCase(
      'a14-path-too-long',
      { ...chain, what: 'the root allows no intermediate' },
      of(vendor.ek(spki), { roots: [limited] }),
    ),
    attackCase(
      'a14-unknown-critical',
      { ...chain, what: 'a critical extension that nobody understands' },
      of(
        vendor.ek(spki, {
          extensions: [...genuineExtensions(), extension('1.2.3.4', Buffer.of(5, 0), true)],
        }),
      ),
    ),
    attackCase(
      'a14-issuer-without-ca',
      {
        ...chain,
        what: 'an issuer that may sign certificates by its key usage, and is no certification authority',
      },
      of(vendor.ek(spki), issuedBy([basicConstraints(false), keyUsage('keyCertSign')])),
    ),
    attackCase(
      'a14-issuer-that-may-not-sign',
      { ...chain, what: 'a certification authority whose key usage does not let it sign certificates' },
      of(vendor.ek(spki), issuedBy([basicConstraints(true), keyUsage('cRLSign')])),
    ),
    attackCase(
      'a14-too-deep',
      { ...chain, what: 'a chain of five issuers' },
      withCertificates(join, [vendor.ek(spki)], { roots: [vendor.root], intermediates: deepChain(vendor) }),
    ),
  ]
}

/** A14: what the certificate says. */
function profiles(join: Join): AttackCase[] {
  const vendor = new VendorCa()
  const { spki } = join.ek
  const known = { roots: [vendor.root], intermediates: [vendor.issuer] }
  const of = (change: Partial<CertificateParts>, by: Uint8Array = spki): CaseParts =>
    withCertificates(join, [vendor.ek(by, change)], known)
  const profile = { attack: 'A14', made: BY_HAND, expect: 'ZT-401-TPM-EK-CERT' } as const
  const authority = [tcgName(), basicConstraints(true), keyUsage('keyAgreement')]
  const genuine = vendor.ek(spki)
  return [
    attackCase(
      'a14-ca-as-ek',
      { ...profile, what: 'the certificate of a certification authority as that of an EK' },
      of({ extensions: authority }),
    ),
    attackCase(
      'a14-signing-key-as-ek',
      { ...profile, what: 'a certificate whose key signs' },
      of({ extensions: [tcgName(), basicConstraints(false), keyUsage('digitalSignature')] }),
    ),
    attackCase(
      'a14-no-key-usage',
      { ...profile, what: 'a certificate that does not say what its key is for' },
      of({ extensions: [tcgName(), basicConstraints(false)] }),
    ),
    attackCase(
      'a14-giant-rsa',
      { ...profile, what: 'an RSA key of 16384 bits, to keep the verifier busy' },
      of({}, giantRsa()),
    ),
    attackCase(
      'a14-other-form',
      {
        attack: 'A14',
        made: 'the EK and its certificate by hand; the rest by swtpm',
        expect: 'ZT-401-TPM-EK-TEMPLATE',
        what: 'a certified EK that anybody may use, without the policy of the template',
      },
      otherForm(join, vendor),
    ),
    attackCase(
      'a14-nameless',
      { ...profile, what: 'a certificate that names no TPM' },
      of({ extensions: [basicConstraints(false), keyUsage('keyAgreement')] }),
    ),
    attackCase(
      'a14-bytes-after-it',
      { ...profile, what: 'a certificate followed by bytes that are no padding' },
      withCertificates(join, [Buffer.concat([genuine, Buffer.from('more')])], known),
    ),
  ]
}

/** A15, and the lists of T3. */
function trust({ rig, evidence, challenge, ek }: Join): AttackCase[] {
  const vendor = new VendorCa()
  const parts = (change: Partial<CaseKnowledge>): CaseParts => ({
    evidence,
    challenge,
    known: knownTo(rig, change),
  })
  const stranger = createHash('sha256').update('another EK').digest('hex')
  return [
    attackCase(
      'a15-swtpm',
      {
        attack: 'A15',
        made: FROM_TPM,
        expect: 'ZT-401-TPM-EK-CHAIN',
        what: 'a TPM in software, where only a vendor of real ones is trusted',
      },
      parts({ roots: [vendor.root], intermediates: [vendor.issuer] }),
    ),
    attackCase(
      'a15-nobody-trusted',
      {
        attack: 'A15',
        made: FROM_TPM,
        expect: 'ZT-401-TPM-EK-CHAIN',
        what: 'a TPM in software, where nothing is configured',
      },
      parts({ roots: [], intermediates: [] }),
    ),
    attackCase(
      'a15-denied-ek',
      { attack: 'A15', made: FROM_TPM, expect: 'ZT-403-TPM-EK', what: 'the EK is on the deny list' },
      parts({ deniedEks: [ek.sha256] }),
    ),
    attackCase(
      'a15-not-allowed-ek',
      {
        attack: 'A15',
        made: FROM_TPM,
        expect: 'ZT-403-TPM-EK',
        what: 'there is an allow list, and the EK is not on it',
      },
      parts({ allowedEks: [stranger] }),
    ),
  ]
}

/** A15 and T3, of machines that have joined. */
async function renewals(rig: Rig): Promise<AttackCase[]> {
  const { evidence, challenge, known } = await genuineRenewal(rig)
  const vendor = new VendorCa()
  const words = { attack: 'A15', made: FROM_TPM } as const
  const under = (change: Partial<CaseKnowledge>): CaseParts => ({
    evidence,
    challenge,
    known: { ...known, ...change },
  })
  return [
    attackCase(
      'a15-no-longer-trusted',
      {
        ...words,
        expect: 'ZT-401-TPM-EK-CHAIN',
        what: 'a machine renews, and the root that vouched for its TPM is trusted no more',
      },
      under({ roots: [vendor.root] }),
    ),
    attackCase(
      'a15-denied-since',
      { ...words, expect: 'ZT-403-TPM-EK', what: 'a machine renews, and its EK is on the deny list by now' },
      under({ deniedEks: [rig.x.ek.sha256] }),
    ),
  ]
}

/** A16: each with a token for the name that it asks for. */
async function takenNames({ rig, ek }: Join): Promise<AttackCase[]> {
  const stranger = { ...rig.x.ek, sha256: createHash('sha256').update('another EK').digest('hex') }
  const other = parseNodeName('build-box')
  const elsewhere = { node: other, log: logOf(other) }
  // A machine that comes under a name of another one has a log of its own: nothing but the name is to be amiss.
  const usurper = await genuineJoin(rig, rig.x, { asking: { log: logOf(NODE, 2) } })
  const second = await genuineJoin(rig, rig.x)
  const parts = ({ evidence, challenge }: typeof second, machine: RegisteredMachine): CaseParts => ({
    evidence,
    challenge,
    known: knownTo(rig, { registered: [machine] }),
  })
  const words = { attack: 'A16', made: FROM_TPM, expect: 'ZT-409-TPM' } as const
  return [
    attackCase(
      'a16-name-of-another-tpm',
      { ...words, expect: 'ZT-403-JOIN', what: 'the name is registered for another TPM' },
      parts(usurper, registered(rig, { ak: rig.y.ak, ek: stranger })),
    ),
    attackCase(
      'a16-tpm-of-another-name',
      { ...words, what: 'the TPM is registered for another name' },
      parts(second, { ...registered(rig, { ak: rig.y.ak, ek }), ...elsewhere }),
    ),
    attackCase(
      'a16-ak-of-another-name',
      { ...words, what: 'the AK is registered for another name, with another EK of its TPM' },
      parts(second, { ...registered(rig, { ak: rig.x.ak, ek: stranger }), ...elsewhere }),
    ),
  ]
}

function withCertificates(
  { rig, evidence, challenge }: Join,
  certificates: readonly Uint8Array[],
  known: Partial<CaseKnowledge> = {},
): CaseParts {
  const { endorsement } = evidence
  if (endorsement === undefined) throw new Error('a join has an endorsement')
  return {
    evidence: { ...evidence, endorsement: { ...endorsement, certificates } },
    challenge,
    known: knownTo(rig, known),
  }
}

function genuineExtensions(): Uint8Array[] {
  return [tcgName(), basicConstraints(false), keyUsage('keyAgreement')]
}

function deepChain(vendor: VendorCa): Uint8Array[] {
  const { issuerKeys, rootKeys } = vendor
  return [0, 1, 2, 3].map((level) =>
    vendor.authority({
      subject: level === 0 ? 'vendor issuer' : `level ${level}`,
      issuer: level === 3 ? 'vendor root' : `level ${level + 1}`,
      spki: level === 0 ? issuerKeys.spki : rootKeys.spki,
    }),
  )
}

function giantRsa(): Uint8Array {
  const modulus = new Uint8Array(2048).fill(0xff)
  const key = write.sequence(write.integer(modulus), write.integer(Uint8Array.of(1, 0, 1)))
  return write.sequence(write.sequence(write.oid(OID.rsaEncryption), write.der(0x05)), write.wholeBits(key))
}

function otherForm(join: Join, vendor: VendorCa): CaseParts {
  const { spki } = ecKeys()
  const form = ENDORSEMENT_TEMPLATES.get('ecc-p256')?.area
  if (form?.type !== 'ecc') throw new Error('the template is one of a curve')
  const area = encodePublic2b({ ...form, authPolicy: new Uint8Array(), unique: pointOf(spki) })
  const known = { roots: [vendor.root], intermediates: [vendor.issuer] }
  const parts = withCertificates(join, [vendor.ek(spki)], known)
  const endorsement = { certificates: [vendor.ek(spki)], public: area }
  return { ...parts, evidence: { ...parts.evidence, endorsement } }
}
