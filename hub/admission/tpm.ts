// Joining and staying with a TPM (identity.md §4). At the first join a token authorises the name, and the TPM proves the
// machine: its EK is one of a trusted vendor, and the attestation key lies beside it. From then on every renewal is a fresh
// quote by that key, over this session and these keys, judged by the PCR policy in force.
import { randomBytes } from 'node:crypto'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { equalBytes, sha256, sha256Text } from '#shared/encoding/digest.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import type { Logger } from '#shared/host/logger.ts'
import type { Evidence } from '#shared/protocol/admission.ts'
import type { AcceptedBy } from '#shared/protocol/node-inspection.ts'
import type { PcrWish, TpmCredential, TpmEvidence, TpmHello } from '#shared/protocol/tpm-evidence.ts'
import type { ClockInfo } from '#shared/tpm/attest.ts'
import { requireActivation, sealActivation } from '../attestation/activation.ts'
import { verifyAk, type VerifiedAk } from '../attestation/attestation-key.ts'
import { requireStillTrusted, verifyEndorsement, type EndorsementTrust } from '../attestation/endorsement.ts'
import type { ProofEvidence } from '../attestation/evidence.ts'
import { verifyProof, type ProofExpectation, type ProofVerdict } from '../attestation/verify.ts'
import type { HubStore, NodeRecord, QuoteStep, TpmClock, TpmIdentity, TpmQuote } from '../store/store.ts'
import type { AttestContext, Attested, AttestedTpm, Attestor, TpmClaim } from './attestor.ts'
import { CHALLENGE_LIFE_MS } from './challenges.ts'
import { rebootOf } from './grounds.ts'
import type { HeldPcrPolicy, PcrPolicies } from './pcr-policies.ts'
import { redeemToken } from './join-token.ts'

export interface TpmParts {
  readonly store: Pick<HubStore, 'joinTokens' | 'nodes'>
  readonly trust: EndorsementTrust
  readonly policies: PcrPolicies
  readonly log: Logger
}

/** The key that quotes, and what its TPM's clock was when it quoted last. */
interface Quoting {
  readonly ak: VerifiedAk
  readonly before: TpmClock | undefined
  /** digest of what was said before the challenge, at a join */
  readonly hello?: Uint8Array
}

/** What one proof is judged by, from its beginning to its row, whatever is put in force meanwhile. */
interface Judging {
  readonly expected: ProofExpectation
  /** the one of `expected`, as it is held */
  readonly policy: HeldPcrPolicy | undefined
  readonly before: TpmClock | undefined
}

interface Drift {
  readonly verdict: ProofVerdict
  readonly step: QuoteStep
  readonly error: ZtError
}

const TPM_LEVEL = 2
const SECRET_BYTES = 32

export class TpmAttestor implements Attestor {
  readonly #parts: TpmParts
  /** EK to when it joined, of the last minute */
  readonly #answered = new Map<string, number>()

  constructor(parts: TpmParts) {
    this.#parts = parts
  }

  /** What is to be quoted under the policy of this moment. */
  wish(): PcrWish {
    return this.#parts.policies.wish()
  }

  /**
   * A secret that only the TPM of that EK, holding that AK, can read. Throws the codes of verifyEndorsement() and
   * verifyAk(): who has no TPM of a trusted vendor gets no further.
   */
  hello(hello: TpmHello, now: number): { readonly claim: TpmClaim; readonly credential: TpmCredential } {
    const certificates = hello.ek.certificates.map((der) => decodeBase64url(der, 'tpm.ek.certificates'))
    const endorsement = { certificates, public: decodeBase64url(hello.ek.public, 'tpm.ek.public') }
    const ek = verifyEndorsement(endorsement, this.#parts.trust, now)
    const { data, attest, signature } = hello.ak.creation
    const ak = verifyAk({
      public: decodeBase64url(hello.ak.public, 'tpm.ak.public'),
      creation: {
        data: decodeBase64url(data, 'tpm.ak.creation.data'),
        attest: decodeBase64url(attest, 'tpm.ak.creation.attest'),
        signature: decodeBase64url(signature, 'tpm.ak.creation.signature'),
      },
    })
    const secret = randomBytes(SECRET_BYTES)
    const { blob, encryptedSecret } = sealActivation({ ek, ak }, secret)
    return {
      claim: {
        ek: ek.sha256,
        root: ek.root,
        maker: `${ek.manufacturer} ${ek.model} ${ek.version}`,
        ak: hello.ak.public,
        secret: encodeBase64url(secret),
        hello: sha256Text(canonicalBytes(hello)),
      },
      credential: { blob: encodeBase64url(blob), secret: encodeBase64url(encryptedSecret) },
    }
  }

  async attest(evidence: Evidence, context: AttestContext): Promise<Attested | undefined> {
    if (evidence.type !== 'tpm') return undefined
    return evidence.join === undefined
      ? this.#renew(evidence, context)
      : this.#join(evidence, { ...context, join: evidence.join })
  }

  async #join(
    evidence: TpmEvidence,
    context: AttestContext & { readonly join: NonNullable<TpmEvidence['join']> },
  ): Promise<Attested> {
    const { node, log, now, transcript, join } = context
    const { claim } = context.challenge
    if (claim === undefined)
      throw new ZtError('ZT-401-EVIDENCE', 'the challenge was not given to a machine with a TPM')
    const secret = decodeBase64url(claim.secret, 'secret')
    requireActivation({ secret, transcript }, decodeBase64url(join.activation, 'evidence.join.activation'))
    this.#answerOnce(claim.ek, context)
    const { ek, root, maker } = claim
    const tpm = { ek, root, maker, ak: decodeBase64url(claim.ak, 'ak') }
    const held = (await this.#parts.store.nodes.find(node))?.tpm
    const before = held !== undefined && isSame(held, tpm) ? held.quote?.clock : undefined
    const ak = verifyAk({ public: tpm.ak })
    const hello = decodeBase64url(claim.hello, 'hello')
    // Judged before the token is touched: a machine that has started the wrong thing does not spend it.
    const judging = this.#judging({ ak, before, hello }, context)
    const verdict = verifyProof(proofOf(evidence), judging.expected)
    const token = sha256(decodeBase64url(join.token, 'evidence.join.token'))
    const redemption = { hash: token, node, device: ak.spki, log, tpm, now }
    const { how, ...repeated } = await redeemToken(this.#parts.store, redemption, context)
    return { device: ak.spki, how, ...repeated, ...attestedOf(verdict, tpm, judging) }
  }

  async #renew(evidence: TpmEvidence, context: AttestContext): Promise<Attested> {
    const node = await this.#parts.store.nodes.find(context.node)
    const { device, tpm } = node ?? {}
    if (node === undefined || device === undefined || tpm === undefined)
      throw new ZtError('ZT-401-EVIDENCE', 'the name stands for no TPM')
    requireStillTrusted({ sha256: tpm.ek, root: tpm.root }, this.#parts.trust)
    const ak = verifyAk({ public: tpm.ak })
    const judging = this.#judging({ ak, before: tpm.quote?.clock }, context)
    const verdict = await this.#proveOrDrift(proofOf(evidence), { node, judging }, context)
    if (node.revokedAt !== undefined) throw new ZtError('ZT-403-REVOKED', 'the node is revoked')
    return { device, how: 'tpm', ...attestedOf(verdict, tpm, judging) }
  }

  // identity.md §4 T11: of all challenges that one EK was given, one is answered. Only its own TPM gets here, so a stranger
  // who shows its certificate cannot make its challenges void.
  #answerOnce(ek: string, { asked, now }: AttestContext): void {
    for (const [other, at] of this.#answered) if (now - at >= CHALLENGE_LIFE_MS) this.#answered.delete(other)
    if ((this.#answered.get(ek) ?? -1) >= asked)
      throw new ZtError('ZT-401-NONCE', 'another challenge of this TPM was answered')
    this.#answered.set(ek, now)
  }

  #judging({ ak, before, hello }: Quoting, context: AttestContext): Judging {
    const { challenge, transcript, spki, node, now } = context
    const { policies } = this.#parts
    const [wish, policy] = [policies.wish(), policies.current]
    if (Buffer.compare(canonicalBytes(wish), canonicalBytes(challenge.wish ?? {})) !== 0)
      throw new ZtError('ZT-401-NONCE', 'the PCR policy has changed since the challenge')
    const expected = {
      node,
      ak,
      extraData: transcript,
      spki,
      selection: wish,
      now,
      ...(policy !== undefined && { policy: policy.policy }),
      ...(before !== undefined && { clock: clockInfoOf(before) }),
      ...(hello !== undefined && { hello }),
    }
    return { expected, policy, before }
  }

  // A refusal by policy is remembered with what the machine measured, so that an operator can look at it.
  async #proveOrDrift(
    proof: ProofEvidence,
    { node, judging }: { readonly node: NodeRecord; readonly judging: Judging },
    context: AttestContext,
  ): Promise<ProofVerdict> {
    const { expected } = judging
    try {
      return verifyProof(proof, expected)
    } catch (error) {
      if (!isZtError(error) || error.code !== 'ZT-403-PCR') throw error
      // The registers are asked last: without their sets, the same proof says what was measured.
      const verdict = verifyProof(proof, { ...expected, judgesPcrs: false })
      await this.#recordDrift(node, { verdict, step: stepOf(verdict, judging), error }, context)
      throw error
    }
  }

  async #recordDrift(
    { name, tpm }: NodeRecord,
    { verdict, step, error }: Drift,
    context: AttestContext,
  ): Promise<void> {
    const { store, log } = this.#parts
    const reboot = rebootOf(step)
    if (reboot !== undefined)
      await context.note({ type: 'node.rebooted', out: 'info', obj: { node: name, ...reboot } })
    const { quote } = step
    // One row for what was measured, however often it is tried: an agent tries twice a minute.
    if (tpm?.drifted !== undefined && tpm.quote !== undefined && hasSamePcrs(tpm.quote, quote))
      return store.nodes.recordDrift(name, step, tpm.drifted.row)
    const { details } = error
    const obj = { node: name, evidence: verdict.evidence, pcrs: quote.pcrs, details }
    const { seq } = await context.note({ type: 'node.drifted', out: 'deny', code: error.code, obj })
    await store.nodes.recordDrift(name, step, seq)
    log.warn('a node has drifted from the PCR policy: it is not renewed', {
      node: name,
      ...details,
      row: seq,
    })
  }
}

function attestedOf(
  verdict: ProofVerdict,
  { ek }: TpmIdentity,
  judging: Judging,
): Pick<Attested, 'lvl' | 'evidence'> & { readonly tpm: AttestedTpm } {
  const { evidence, level, set } = verdict
  const svidKey = level === 'tpm-quote/tpm-key' ? 'tpm' : 'soft'
  const step = stepOf(verdict, judging)
  return { lvl: TPM_LEVEL, evidence, tpm: { ek, svidKey, step, policy: acceptedBy(judging, set) } }
}

function acceptedBy({ policy }: Judging, set: string | undefined): AcceptedBy | undefined {
  if (policy === undefined || set === undefined) return undefined
  return { version: policy.policy.version, set, digest: policy.digest }
}

function stepOf({ quote }: ProofVerdict, { expected, before }: Judging): QuoteStep {
  const { resetCount: resets, restartCount: restarts, clock, safe } = quote.clock
  const { bank } = expected.selection
  const { firmware, pcrs } = quote
  return {
    quote: { at: expected.now, bank, pcrs, clock: { resets, restarts, clock, safe, firmware } },
    before,
  }
}

function hasSamePcrs(a: TpmQuote, b: TpmQuote): boolean {
  const textOf = ({ bank, pcrs }: TpmQuote): Uint8Array => canonicalBytes({ bank, pcrs })
  return Buffer.compare(textOf(a), textOf(b)) === 0
}

function clockInfoOf({ clock, resets, restarts, safe }: TpmClock): ClockInfo {
  return { clock, resetCount: resets, restartCount: restarts, safe }
}

const isSame = (a: TpmIdentity, b: TpmIdentity): boolean => a.ek === b.ek && equalBytes(a.ak, b.ak)

function proofOf(evidence: TpmEvidence): ProofEvidence {
  const { quote, signature, pcrs, eventLog, key } = evidence
  return {
    quote: {
      attest: decodeBase64url(quote, 'evidence.quote'),
      signature: decodeBase64url(signature, 'evidence.signature'),
      pcrs,
    },
    ...(eventLog !== undefined && { eventLog: decodeBase64url(eventLog, 'evidence.eventLog') }),
    ...(key !== undefined && {
      certified: {
        public: decodeBase64url(key.public, 'evidence.key.public'),
        attest: decodeBase64url(key.certify, 'evidence.key.certify'),
        signature: decodeBase64url(key.signature, 'evidence.key.signature'),
      },
    }),
  }
}
