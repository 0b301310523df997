// What every maker of cases shares: the frame of a case, and requests for keys that a TPM holds.
import { verifyEndorsement } from '#hub/attestation/endorsement.ts'
import type { ErrorCode } from '#shared/errors/codes.ts'
import { sha256 } from '#shared/encoding/digest.ts'
import { systemClock } from '#shared/host/clock.ts'
import type { SigningKey, TpmAttester } from '#shared/host/tpm/attester.ts'
import { TpmCommands } from '#shared/host/tpm/commands.ts'
import type { TpmDevice } from '#shared/host/tpm/device.ts'
import { activationProof } from '#shared/protocol/tpm-evidence.ts'
import { makeCredential } from '#shared/tpm/credential.ts'
import { sign } from '#shared/tpm/attest-calls.ts'
import { HANDLE } from '#shared/tpm/constants.ts'
import { create, createPrimary, load, type TpmBlob } from '#shared/tpm/object-calls.ts'
import { STORAGE_PRIMARY } from '#shared/tpm/templates.ts'
import { nameOf, parsePublic2b, type TpmPublic } from '#shared/tpm/public.ts'
import { parseTpmSignature } from '#shared/tpm/signature.ts'
import { spkiOfPublic } from '#shared/tpm/spki.ts'
import * as write from '#shared/x509/der-writer.ts'
import { OID } from '#shared/x509/oid.ts'
import type { AttackCase, CaseChallenge, CaseEvidence, CaseKnowledge } from '../case.ts'
import { challengeFor, extraOf, knownTo, quoteOf, trustOf, type Machine, type Rig } from '../rig.ts'

export interface CaseParts {
  readonly evidence: CaseEvidence
  readonly challenge: CaseChallenge
  readonly known: CaseKnowledge
}

export interface CaseWords {
  readonly attack: string
  readonly what: string
  readonly made: string
  readonly expect: 'accept' | ErrorCode
}

export const FROM_TPM = 'every byte by swtpm'
export const SOFT_KEY = 'by hand, signed with a software key that stands in the place of a registered AK'

export function attackCase(
  name: string,
  words: CaseWords,
  { evidence, challenge, known }: CaseParts,
): AttackCase {
  // Who renews is known by its AK: the roots would only make the file longer.
  const trusted = evidence.endorsement === undefined ? { roots: [], intermediates: [] } : {}
  return { v: 1, name, ...words, evidence, challenge, known: { ...known, ...trusted } }
}

/** A request for an SVID of a key that is in the TPM. */
export async function tpmCsr(
  attester: TpmAttester,
  key: SigningKey,
): Promise<{ csr: Uint8Array; spki: Uint8Array }> {
  const spki = spkiOfPublic(parsePublic2b(key.public))
  const info = write.sequence(write.integer(Uint8Array.of(0)), write.sequence(), spki, write.explicit(0))
  const signed = parseTpmSignature(await attester.sign(key, sha256(info)))
  if (signed.algorithm !== 'ecdsa') throw new Error('the TPM signed with another scheme')
  const signature = write.sequence(write.integer(signed.r), write.integer(signed.s))
  const algorithm = write.sequence(write.oid(OID.ecdsaWithSha256))
  return { csr: write.sequence(info, algorithm, write.wholeBits(signature)), spki }
}

/**
 * Evidence of a machine that joins with any key of its TPM as AK, also one that the hub refuses: the credential is made
 * for it all the same, so that this check alone stands between it and an SVID.
 */
export async function joinWith(rig: Rig, machine: Machine, ak: TpmBlob): Promise<CaseParts> {
  const endorsement = await machine.attester.endorsement()
  const ek = verifyEndorsement(endorsement, trustOf(rig), rig.now)
  const secret = new Uint8Array(32).fill(0x5e)
  const challenge = challengeFor(rig, machine.svid, { secret })
  const akName = nameOf(parsePublic2b(ak.public))
  const { blob, encryptedSecret } = makeCredential({ ek: ek.public, akName, secret })
  const opened = await machine.attester.activate(ak, blob, encryptedSecret)
  const evidence = {
    endorsement: { certificates: endorsement.certificates, public: endorsement.public },
    ak: { public: ak.public },
    activation: activationProof(opened, extraOf(challenge)),
    quote: await quoteOf({ attester: machine.attester, ak }, challenge),
    csr: machine.csr,
  }
  return { evidence, challenge, known: knownTo(rig) }
}

/** A key of any form in the place where the attester keeps its AKs, so that it serves as one. */
export async function createAsAk({ swtpm }: Machine, area: TpmPublic): Promise<TpmBlob> {
  return withAkParent(swtpm.open(), async (tpm, parent) => tpm.run(create({ parent, area })))
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
