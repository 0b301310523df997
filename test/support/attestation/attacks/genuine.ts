// Evidence that must be accepted: a verifier that refuses everything would pass every attack.
import { TpmAttester } from '#shared/host/tpm/attester.ts'
import type { EndorsementKind } from '#shared/tpm/templates.ts'
import { extraOf } from '../asked.ts'
import type { AttackCase } from '../case.ts'
import { challengeFor, genuineJoin, genuineRenewal, knownTo, quoteOf, registered, type Rig } from '../rig.ts'
import { attackCase, FROM_TPM, tpmCsr, type CaseParts } from './made.ts'

const genuine = (name: string, what: string, parts: CaseParts): AttackCase =>
  attackCase(`genuine-${name}`, { attack: 'none', what, made: FROM_TPM, expect: 'accept' }, parts)

export async function genuineCases(rig: Rig): Promise<AttackCase[]> {
  const joins: AttackCase[] = []
  const kinds: Record<string, EndorsementKind> = {
    'join-rsa-2048': 'rsa-2048',
    'join-ecc-p256': 'ecc-p256',
    'join-ecc-p384': 'ecc-p384-high',
  }
  for (const [name, kind] of Object.entries(kinds)) {
    const { evidence, challenge } = await genuineJoin(rig, rig.x, { kind })
    joins.push(
      genuine(name, `a machine joins with the endorsement key ${kind}`, {
        evidence,
        challenge,
        known: knownTo(rig),
      }),
    )
  }
  return [
    ...joins,
    genuine('renewal', 'a machine renews with a quote by its registered AK', await genuineRenewal(rig)),
    await paddedCertificate(rig),
    await rsaAk(rig),
    await certified(rig),
    await withEventLog(rig),
    await uncleanStop(rig),
  ]
}

async function paddedCertificate(rig: Rig): Promise<AttackCase> {
  const padded = (der: Uint8Array): Uint8Array => Buffer.concat([der, Buffer.alloc(64, 0xff)])
  const { evidence, challenge } = await genuineJoin(rig, rig.x, {
    kind: 'ecc-p256',
    shown: ({ certificates, ...rest }) => ({ ...rest, certificates: certificates.map(padded) }),
  })
  const parts = { evidence, challenge, known: knownTo(rig) }
  return genuine('padded-nv', 'the EK certificate is read with the erased rest of its NV index', parts)
}

async function rsaAk(rig: Rig): Promise<AttackCase> {
  const { attester, svid, csr } = rig.x
  const ak = await attester.createAk('rsassa-2048')
  const challenge = challengeFor(rig, svid)
  const known = knownTo(rig, { registered: [registered(rig, { ak })] })
  const quote = await quoteOf({ attester, ak }, challenge)
  return genuine('renewal-rsa-ak', 'the AK is an RSA key', { evidence: { quote, csr }, challenge, known })
}

async function certified(rig: Rig): Promise<AttackCase> {
  const { attester, ak } = rig.x
  const key = await attester.createSigningKey()
  const { csr, spki } = await tpmCsr(attester, key)
  const challenge = challengeFor(rig, { spki })
  const proof = await attester.certify(ak, key, extraOf(challenge))
  const evidence = {
    quote: await quoteOf(rig.x, challenge),
    certified: { public: key.public, ...proof },
    csr,
  }
  const known = knownTo(rig, { registered: [registered(rig, rig.x)] })
  return genuine('tpm-resident-key', 'the key of the SVID is in the TPM, and certified by it', {
    evidence,
    challenge,
    known,
  })
}

async function withEventLog(rig: Rig): Promise<AttackCase> {
  const policy = { ...rig.policy, eventLog: 'required' as const }
  const { evidence, challenge, known } = await genuineRenewal(rig, rig.x, { policy })
  return genuine('event-log', 'the policy requires an event log, and it leads to the quoted values', {
    evidence: { ...evidence, eventLog: rig.eventLog },
    challenge,
    known: { ...known, pcrPolicy: policy },
  })
}

/** A clock that is not safe is for the policy to refuse: here it does not. */
async function uncleanStop(rig: Rig): Promise<AttackCase> {
  const { y } = rig
  await y.swtpm.reset('unclean')
  const attester = await TpmAttester.open(y.swtpm.open())
  const challenge = challengeFor(rig, y.svid)
  const quote = await quoteOf({ attester, ak: y.ak }, challenge)
  await attester.close()
  const { pcrPolicy: _policy, ...known } = knownTo(rig, { registered: [registered(rig, y)] })
  const parts = { evidence: { quote, csr: y.csr }, challenge, known }
  return genuine('unclean-stop', 'the TPM lost its power, and says that its clock is not safe', parts)
}
