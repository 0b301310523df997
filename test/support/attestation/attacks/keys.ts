// A9, A10, A23 and A24: AKs that are in no TPM or can leave it, and keys of SVIDs that are not where they are said to be.
import { sha256 } from '#shared/encoding/digest.ts'
import { activationProof } from '#shared/protocol/tpm-evidence.ts'
import type { SigningKey } from '#shared/host/tpm/attester.ts'
import { TAG } from '#shared/tpm/constants.ts'
import { encodePublic2b, nameOf } from '#shared/tpm/public.ts'
import { attestationKey, signingKey } from '#shared/tpm/templates.ts'
import { createCsr } from '#shared/x509/csr.ts'
import { OID } from '#shared/x509/oid.ts'
import { commonName } from '#pki/issuance/tbs.ts'
import { wishfulCsr, type CsrWish } from '../../wishful-csr.ts'
import { attest, attributes, namedBody, pointOf, quoteBody, signAttest, softAk } from '../../forged-tpm.ts'
import { claimOf, extraOf, SELECTION } from '../asked.ts'
import type { AttackCase, CaseEvidence } from '../case.ts'
import { challengeFor, genuineJoin, genuineRenewal, knownTo, quoteOf, registered, type Rig } from '../rig.ts'
import { attackCase, createAsAk, FROM_TPM, joinWith, tpmCsr, type CaseParts } from './made.ts'

export async function keyCases(rig: Rig): Promise<AttackCase[]> {
  return [...(await falseAks(rig)), ...(await falseRequests(rig)), ...(await foreignKeys(rig))]
}

/** A9, A10 */
async function falseAks(rig: Rig): Promise<AttackCase[]> {
  const bent = attributes({ without: ['fixedTPM', 'fixedParent'] })
  const duplicable = await createAsAk(rig.x, { ...attestationKey('ecdsa-p256'), attributes: bent })
  return [
    attackCase(
      'a09-software-key',
      {
        attack: 'A9',
        what: 'a key in software with the public area of a genuine AK; the TPM of the EK cannot open the secret for it',
        made: 'the AK, what it says of its creation, the quote and a guess at the secret by hand; the rest by swtpm',
        expect: 'ZT-401-TPM-ACTIVATION',
      },
      await softwareAk(rig),
    ),
    attackCase(
      'a10-duplicable-key',
      {
        attack: 'A10',
        what: 'an AK of the TPM without fixedTPM and fixedParent: it can be copied out, and is activated like any other',
        made: FROM_TPM,
        expect: 'ZT-401-TPM-AK',
      },
      await joinWith(rig, rig.x, duplicable),
    ),
  ]
}

async function softwareAk(rig: Rig): Promise<CaseParts> {
  const { evidence, ek } = await genuineJoin(rig, rig.x)
  const { endorsement } = evidence
  if (endorsement === undefined) throw new Error('a join has an endorsement')
  const ak = softAk()
  const { data } = rig.x.ak.creation
  const created = attest({
    type: TAG.attestCreation,
    extraData: new Uint8Array(),
    body: namedBody(nameOf(ak.area), sha256(data)),
  })
  const creation = { data, attest: created, signature: signAttest(ak.privateKey, created) }
  const hello = { endorsement, ak: { public: ak.public, creation } }
  const challenge = challengeFor(rig, rig.x.svid, { claim: claimOf(hello, ek) })
  const pcrs = rig.policy.sets[0]?.values ?? {}
  const bytes = attest({ extraData: extraOf(challenge), body: quoteBody(pcrs, [SELECTION]) })
  const soft = {
    ...hello,
    activation: activationProof(new Uint8Array(32), extraOf(challenge)),
    quote: { attest: bytes, signature: signAttest(ak.privateKey, bytes), pcrs },
    csr: rig.x.csr,
  }
  return { evidence: soft, challenge, known: knownTo(rig) }
}

/** A23 */
async function falseRequests(rig: Rig): Promise<AttackCase[]> {
  const { attester, ak } = rig.x
  const key = await attester.createSigningKey()
  const genuine = await genuineRenewal(rig)
  const asked = challengeFor(rig, rig.x.svid)
  const certified = { public: key.public, ...(await attester.certify(ak, key, extraOf(asked))) }
  const bent = Buffer.from(createCsr(rig.x.svid))
  bent[bent.length - 1] = (bent.at(-1) ?? 0) ^ 1
  return [
    ...wishfulRequests(rig, genuine),
    attackCase(
      'a23-request-for-another-key',
      {
        attack: 'A23',
        what: 'the key that the TPM certified is not the one of the request',
        made: FROM_TPM,
        expect: 'ZT-401-TPM-CERTIFY',
      },
      {
        ...genuine,
        challenge: asked,
        evidence: { quote: await quoteOf(rig.x, asked), certified, csr: rig.x.csr },
      },
    ),
    attackCase(
      'a23-request-without-possession',
      {
        attack: 'A23',
        what: 'the request is not signed by its key',
        made: 'the request by hand; the rest by swtpm',
        expect: 'ZT-422-CSR',
      },
      { ...genuine, evidence: { ...genuine.evidence, csr: bent }, spki: rig.x.svid.spki },
    ),
  ]
}

/** What nobody may wish for, alone and all together. */
function wishfulRequests({ x }: Rig, genuine: CaseParts): AttackCase[] {
  const subject = commonName('hub')
  const names = { uris: ['spiffe://mesh.example/hub/h1'], dns: ['hub.mesh.example'] }
  const eku = [OID.serverAuth]
  const wishes: Record<string, readonly [string, CsrWish]> = {
    wishes: [
      'the request wishes for a subject, DNS and URI names of the hub, a purpose and cA',
      { subject, ...names, eku, isCa: true },
    ],
    'subject-wish': ['the request names a subject', { subject }],
    'name-wish': ['the request wishes for names of the hub', names],
    'purpose-wish': ['the request wishes for a purpose', { eku }],
    'authority-wish': ['the request wishes for cA', { isCa: true }],
  }
  return Object.entries(wishes).map(([name, [what, wish]]) =>
    attackCase(
      `a23-request-with-${name}`,
      { attack: 'A23', what, made: 'the request by hand; the rest by swtpm', expect: 'ZT-422-CSR-WISH' },
      { ...genuine, evidence: { ...genuine.evidence, csr: wishfulCsr(x.svid, wish) } },
    ),
  )
}

/** A24 */
async function foreignKeys(rig: Rig): Promise<AttackCase[]> {
  const { x, y } = rig
  const key = await y.attester.createSigningKey()
  const { csr, spki } = await tpmCsr(y.attester, key)
  const challenge = challengeFor(rig, { spki })
  const known = knownTo(rig, { registered: [registered(rig, x)] })
  const proof = await y.attester.certify(y.ak, key, extraOf(challenge))
  const evidence: CaseEvidence = {
    quote: await quoteOf(x, challenge),
    certified: { public: key.public, ...proof },
    csr,
  }
  const older = challengeFor(rig, { spki })
  const own = await x.attester.createSigningKey()
  const stale = await x.attester.certify(x.ak, own, extraOf(older))
  const request = await tpmCsr(x.attester, own)
  const asked = challengeFor(rig, request)
  return [
    attackCase(
      'a24-key-of-another-tpm',
      {
        attack: 'A24',
        what: 'the quote is genuine and bound to a key that lies in the TPM of another machine, certified by the AK there',
        made: FROM_TPM,
        expect: 'ZT-401-TPM-SIG',
      },
      { evidence, challenge, known },
    ),
    attackCase(
      'a24-certification-of-another-key',
      {
        attack: 'A24',
        what: 'a key in software with the public area of one of the TPM, beside the certification of a key that is in the TPM',
        made: 'the requested key and its public area by hand; the rest by swtpm',
        expect: 'ZT-401-TPM-CERTIFY',
      },
      await softKeyCertified(rig, own),
    ),
    attackCase(
      'a24-stale-certification',
      {
        attack: 'A24',
        what: 'the key was certified for another challenge',
        made: FROM_TPM,
        expect: 'ZT-401-TPM-EXTRA',
      },
      {
        evidence: {
          quote: await quoteOf(x, asked),
          certified: { public: own.public, ...stale },
          csr: request.csr,
        },
        challenge: asked,
        known,
      },
    ),
  ]
}

async function softKeyCertified(rig: Rig, own: SigningKey): Promise<CaseParts> {
  const { x } = rig
  const challenge = challengeFor(rig, x.svid)
  const signed = await x.attester.certify(x.ak, own, extraOf(challenge))
  const area = encodePublic2b({ ...signingKey(), unique: pointOf(x.svid.spki) })
  return {
    evidence: { quote: await quoteOf(x, challenge), certified: { public: area, ...signed }, csr: x.csr },
    challenge,
    known: knownTo(rig, { registered: [registered(rig, x)] }),
  }
}
