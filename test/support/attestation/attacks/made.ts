// What every maker of cases shares: the frame of a case, and requests for keys that a TPM holds.
import { sign as signBytes } from 'node:crypto'
import { verifyEndorsement } from '#hub/attestation/endorsement.ts'
import { sha256 } from '#shared/encoding/digest.ts'
import { systemClock } from '#shared/host/clock.ts'
import type { CreatedAk, SigningKey, TpmAttester } from '#shared/host/tpm/attester.ts'
import { TpmCommands } from '#shared/host/tpm/commands.ts'
import type { TpmDevice } from '#shared/host/tpm/device.ts'
import type { P256KeyPair } from '#shared/jose/keys.ts'
import { activationProof } from '#shared/protocol/tpm-evidence.ts'
import { makeCredential } from '#shared/tpm/credential.ts'
import { certifyCreation, sign } from '#shared/tpm/attest-calls.ts'
import { HANDLE } from '#shared/tpm/constants.ts'
import { create, createPrimary, load, type TpmBlob } from '#shared/tpm/object-calls.ts'
import { STORAGE_PRIMARY } from '#shared/tpm/templates.ts'
import { nameOf, parsePublic2b, type TpmPublic } from '#shared/tpm/public.ts'
import { parseTpmSignature, rawEcdsa } from '#shared/tpm/signature.ts'
import { spkiOfPublic } from '#shared/tpm/spki.ts'
import { createCsrWith, verifyCsr } from '#shared/x509/csr.ts'
import { claimOf, extraOf, type Asked } from '../asked.ts'
import type { AttackCase, CaseEvidence, CaseKnowledge, ForZtmesh } from '../case.ts'
import { transcriptOf } from '../requests.ts'
import { akOf, challengeFor, knownTo, quoteOf, secretOf, trustOf, type Machine, type Rig } from '../rig.ts'

/** A key of a TPM, and what it says of its creation. */
export interface AsAk extends TpmBlob {
  readonly creation: Pick<CreatedAk['creation'], 'data' | 'certifyInfo' | 'signature'>
}

export interface CaseParts {
  readonly evidence: CaseEvidence
  readonly challenge: Asked
  readonly known: CaseKnowledge
  /** that of the request, where the request does not hold */
  readonly spki?: Uint8Array
  /** of a machine that comes without its TPM: the key that signs in place of it */
  readonly device?: Pick<P256KeyPair, 'spki' | 'privateKey'>
}

export type CaseWords = Pick<AttackCase, 'attack' | 'what' | 'made' | 'expect' | 'times'> &
  Pick<ForZtmesh, 'behind'>

export const FROM_TPM = 'every byte by swtpm'
export const SOFT_KEY = 'by hand, signed with a software key that stands in the place of a registered AK'

export function attackCase(name: string, words: CaseWords, parts: CaseParts): AttackCase {
  const { attack, what, made, expect, times, behind } = words
  const { evidence, challenge, known, device } = parts
  const { sessionKey, natsKey, token, ...asked } = challenge
  const transcript = transcriptOf(challenge, requestedKey(parts))
  // Who renews is known by its AK, and by the root that once vouched for it: the issuers would only make the file longer.
  const trusted = evidence.endorsement === undefined ? { intermediates: [] } : {}
  return {
    v: 2,
    name,
    attack,
    what,
    made,
    evidence,
    challenge: asked,
    known: { ...known, ...trusted },
    ...(times !== undefined && { times }),
    ztmesh: {
      sessionKey,
      natsProof: natsKey.sign(transcript),
      ...(token && { token }),
      ...(device && { device: { spki: device.spki, proof: signed(device, transcript) } }),
      ...(behind && { behind }),
    },
    expect,
  }
}

function requestedKey({ evidence: { csr = new Uint8Array() }, spki }: CaseParts): Uint8Array {
  return spki ?? verifyCsr(csr).spki
}

function signed({ privateKey: key }: NonNullable<CaseParts['device']>, transcript: Uint8Array): Uint8Array {
  return new Uint8Array(signBytes('sha256', transcript, { key, dsaEncoding: 'ieee-p1363' }))
}

/** A request for an SVID of a key that is in the TPM. */
export async function tpmCsr(
  attester: TpmAttester,
  key: SigningKey,
): Promise<{ csr: Uint8Array; spki: Uint8Array }> {
  const spki = spkiOfPublic(parsePublic2b(key.public))
  const csr = await createCsrWith(spki, async (info) => {
    const signed = parseTpmSignature(await attester.sign(key, sha256(info)))
    const raw = signed.algorithm === 'ecdsa' ? rawEcdsa(signed, 'P-256') : undefined
    if (raw === undefined) throw new Error('the TPM signed in another way')
    return raw
  })
  return { csr, spki }
}

/**
 * Evidence of a machine that joins with any key of its TPM as AK, also one that the hub refuses: the credential is made
 * for it all the same, so that this check alone stands between it and an SVID.
 */
export async function joinWith(rig: Rig, machine: Machine, ak: AsAk): Promise<CaseParts> {
  const { certificates, public: area } = await machine.attester.endorsement()
  const hello = { endorsement: { certificates, public: area }, ak: akOf(ak) }
  const ek = verifyEndorsement(hello.endorsement, trustOf(rig.authorities), rig.now)
  const challenge = challengeFor(rig, machine.svid, { claim: claimOf(hello, ek) })
  const akName = nameOf(parsePublic2b(ak.public))
  const sealed = makeCredential({ ek: ek.public, akName, secret: secretOf(challenge) })
  const opened = await machine.attester.activate(ak, sealed.blob, sealed.encryptedSecret)
  const evidence = {
    ...hello,
    activation: activationProof(opened, extraOf(challenge)),
    quote: await quoteOf({ attester: machine.attester, ak }, challenge),
    csr: machine.csr,
  }
  return { evidence, challenge, known: knownTo(rig) }
}

/** A key of any form in the place where the attester keeps its AKs, so that it serves as one. */
export async function createAsAk({ swtpm }: Machine, area: TpmPublic): Promise<AsAk> {
  return withAkParent(swtpm.open(), async (tpm, parent) => {
    const { creation, ...blob } = await tpm.run(create({ parent, area }))
    const { attest, signature } = await tpm.withObject(load(parent, blob), ({ handle }) =>
      tpm.run(certifyCreation({ ak: handle, object: handle, extraData: new Uint8Array() }, creation)),
    )
    return { ...blob, creation: { data: creation.data, certifyInfo: attest, signature } }
  })
}

/** A TPMT_SIGNATURE over a digest by such a key, if it is one that signs what it is given. */
export async function signAsAk({ swtpm }: Machine, key: TpmBlob, digest: Uint8Array): Promise<Uint8Array> {
  return withAkParent(swtpm.open(), (tpm, parent) =>
    tpm.withObject(load(parent, key), ({ handle }) => tpm.run(sign(handle, digest))),
  )
}

async function withAkParent<T>(
  device: TpmDevice,
  use: (tpm: TpmCommands, parent: number) => Promise<T>,
): Promise<T> {
  const tpm = new TpmCommands(device, systemClock)
  const hierarchy = HANDLE.endorsement
  const primary = createPrimary({ hierarchy, password: new Uint8Array(), area: STORAGE_PRIMARY })
  try {
    return await tpm.withObject(primary, ({ handle }) => use(tpm, handle))
  } finally {
    await device.close()
  }
}
