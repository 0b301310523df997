// Judges a case of the corpus as the hub does, with the hub's own verifier. What the hub's store decides (that a challenge is
// used once, and T10) is a rule of few lines here: test/attack/tpm-*.test.ts show that a running hub keeps it.
import { requireActivation } from '#hub/attestation/activation.ts'
import { verifyAk, type VerifiedAk } from '#hub/attestation/attestation-key.ts'
import { readConfiguredAuthority } from '#hub/attestation/ek-certificate.ts'
import { verifyEndorsement } from '#hub/attestation/endorsement.ts'
import { verifyProof } from '#hub/attestation/verify.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import type { ErrorCode } from '#shared/errors/codes.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { attestTranscript } from '#shared/protocol/admission.ts'
import { verifyCsr } from '#shared/x509/csr.ts'
import type { AttackCase } from './case.ts'

/** `accept`, or the code of the refusal; anything but a ZtError is thrown. */
export function judge(one: AttackCase): 'accept' | ErrorCode {
  try {
    requireAccepted(one)
    return 'accept'
  } catch (error) {
    if (!isZtError(error)) throw error
    return error.code
  }
}

/** Throws what the verifier throws. */
export function requireAccepted(one: AttackCase): void {
  const { evidence, challenge, known } = one
  const { node, pcrs: selection, expires, used } = challenge
  if (used || known.now >= expires) throw refused('ZT-401-NONCE', 'the challenge is used or expired')
  const registered = known.registered.find((machine) => machine.node === node)
  if (evidence.joinToken === true) {
    if (registered === undefined) return
    throw refused('ZT-412-TPM', 'the name is for a machine that proves itself with a TPM')
  }
  const { spki } = verifyCsr(evidence.csr ?? new Uint8Array())
  const extraData = transcriptOf(challenge, spki)
  const ak = evidence.endorsement === undefined ? registeredAk(one) : joiningAk(one, extraData)
  const { quote, eventLog, certified } = evidence
  if (quote === undefined) throw refused('ZT-401-EVIDENCE', 'there is no quote')
  const proof = {
    quote,
    ...(eventLog !== undefined && { eventLog }),
    ...(certified !== undefined && { certified }),
  }
  const policy = known.pcrPolicy
  const clock = registered?.clock
  verifyProof(proof, {
    node,
    ak,
    extraData,
    spki,
    selection,
    now: known.now,
    ...(policy !== undefined && { policy }),
    ...(clock !== undefined && { clock }),
  })
}

/** What the attestations must be bound to: computed from what the hub itself knows and from the request. */
export function transcriptOf(
  { hub, session, nonce, node, enc, nats, log }: AttackCase['challenge'],
  spki: Uint8Array,
): Uint8Array {
  return attestTranscript({ hub, session, nonce, node, spki: sha256Text(spki), enc, nats, log })
}

function registeredAk({ challenge, known }: AttackCase): VerifiedAk {
  const registered = known.registered.find(({ node }) => node === challenge.node)
  if (registered === undefined) throw refused('ZT-401-EVIDENCE', 'the name stands for no TPM')
  return verifyAk({ public: registered.ak })
}

function joiningAk({ evidence, challenge, known }: AttackCase, transcript: Uint8Array): VerifiedAk {
  const { endorsement, ak: offered, activation } = evidence
  if (endorsement === undefined || offered === undefined) throw refused('ZT-401-EVIDENCE', 'there is no AK')
  const authority = (der: Uint8Array): ReturnType<typeof readConfiguredAuthority> =>
    readConfiguredAuthority(der, 'a root of the case')
  const trust = {
    roots: known.roots.map(authority),
    intermediates: known.intermediates.map(authority),
    denied: new Set(known.deniedEks),
    ...(known.allowedEks !== undefined && { allowed: new Set(known.allowedEks) }),
  }
  const ek = verifyEndorsement(endorsement, trust, known.now)
  const ak = verifyAk({ public: offered.public, ...(offered.creation && { creation: offered.creation }) })
  const other = known.registered.find(
    (machine) => (machine.node === challenge.node) !== (machine.ek === ek.sha256),
  )
  if (other?.ek === ek.sha256) throw refused('ZT-409-TPM', 'the TPM stands for another name')
  if (other !== undefined) throw refused('ZT-403-JOIN', 'the name belongs to another machine')
  const { secret } = challenge
  if (secret === undefined) throw refused('ZT-401-EVIDENCE', 'the challenge was not for a TPM')
  requireActivation({ secret, transcript }, activation ?? new Uint8Array())
  return ak
}

function refused(code: ErrorCode, message: string): ZtError {
  return new ZtError(code, message)
}
