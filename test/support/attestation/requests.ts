// A case in the words of the protocol: what the machine of it says to a hub, byte for byte as the file has it.
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import {
  attestTranscript,
  type AttestRequest,
  type ChallengeRequest,
  type Evidence,
} from '#shared/protocol/admission.ts'
import type { TpmEvidence, TpmHello } from '#shared/protocol/tpm-evidence.ts'
import type { AttackCase, CaseChallenge, CaseEvidence } from './case.ts'

const EMPTY = new Uint8Array()
const b64u = (bytes: Uint8Array = EMPTY): string => encodeBase64url(bytes)

/** What every proof is bound to: computed from what the hub itself knows and from the key of the request. */
export function transcriptOf(
  { hub, session, nonce, node, enc, nats, log }: Omit<CaseChallenge, 'extraData'>,
  spki: Uint8Array,
): Uint8Array {
  return attestTranscript({ hub, session, nonce, node, spki: sha256Text(spki), enc, nats, log })
}

/** Of a machine that joins. */
export function helloOf({ endorsement, ak }: Pick<CaseEvidence, 'endorsement' | 'ak'>): TpmHello | undefined {
  if (endorsement === undefined || ak === undefined) return undefined
  const { data, attest, signature } = ak.creation
  return {
    ek: { certificates: endorsement.certificates.map(b64u), public: b64u(endorsement.public) },
    ak: {
      public: b64u(ak.public),
      creation: { data: b64u(data), attest: b64u(attest), signature: b64u(signature) },
    },
  }
}

/** With which it asks for its challenge. */
export function challengeRequestOf({ evidence, challenge: { node } }: AttackCase): ChallengeRequest {
  const tpm = helloOf(evidence)
  return { node, ...(tpm !== undefined && { tpm }) }
}

/** With which it answers. */
export function attestRequestOf(one: AttackCase): AttestRequest {
  const { challenge, evidence, ztmesh } = one
  return {
    session: challenge.session,
    node: challenge.node,
    evidence: evidenceOf(one),
    csr: b64u(evidence.csr),
    nats: { publicKey: challenge.nats, proof: b64u(ztmesh.natsProof) },
    enc_key: challenge.enc,
    log: challenge.log,
    boot: 'b1',
  }
}

function evidenceOf({ evidence, ztmesh: { token, device } }: AttackCase): Evidence {
  const proof = b64u(device?.proof)
  if (evidence.joinToken === true)
    return { type: 'join-token', token: b64u(token?.secret), device: { spki: b64u(device?.spki), proof } }
  if (evidence.deviceKey === true) return { type: 'device-key', proof }
  const { endorsement, activation } = evidence
  return {
    ...quotedOf(evidence),
    ...(endorsement !== undefined && { join: { token: b64u(token?.secret), activation: b64u(activation) } }),
  }
}

function quotedOf({ quote, eventLog, certified }: CaseEvidence): TpmEvidence {
  return {
    type: 'tpm',
    quote: b64u(quote?.attest),
    signature: b64u(quote?.signature),
    pcrs: quote?.pcrs ?? {},
    ...(eventLog !== undefined && { eventLog: b64u(eventLog) }),
    ...(certified !== undefined && {
      key: {
        public: b64u(certified.public),
        certify: b64u(certified.attest),
        signature: b64u(certified.signature),
      },
    }),
  }
}
