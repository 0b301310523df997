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
import type { PcrPolicies } from './pcr-policies.ts'
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
    // Judged before the token is touched: a machine that has started the wrong thing does not spend it.
    const verdict = verifyProof(proofOf(evidence), this.#expected({ ak, before }, context))
    const token = sha256(decodeBase64url(join.token, 'evidence.join.token'))
    const redemption = { hash: token, node, device: ak.spki, log, tpm, now }
    const { how, ...repeated } = await redeemToken(this.#parts.store, redemption, context)
    return { device: ak.spki, how, ...repeated, ...this.#attested(verdict, { tpm, before }, context) }
  }

  async #renew(evidence: TpmEvidence, context: AttestContext): Promise<Attested> {
    const node = await this.#parts.store.nodes.find(context.node)
    const { device, tpm } = node ?? {}
    if (node === undefined || device === undefined || tpm === undefined)
      throw new ZtError('ZT-401-EVIDENCE', 'the name stands for no TPM')
    requireStillTrusted({ sha256: tpm.ek, root: tpm.root }, this.#parts.trust)
    const before = tpm.quote?.clock
    const expected = this.#expected({ ak: verifyAk({ public: tpm.ak }), before }, context)
    const verdict = await this.#proveOrDrift(proofOf(evidence), { node, expected }, context)
    if (node.revokedAt !== undefined) throw new ZtError('ZT-403-REVOKED', 'the node is revoked')
    const attested = this.#attested(verdict, { tpm, before }, context)
    await this.#noteReboot(attested.tpm.step, context)
    return { device, how: 'tpm', ...attested }
  }

  // identity.md §4 T11: of all challenges that one EK was given, one is answered. Only its own TPM gets here, so a stranger
  // who shows its certificate cannot make its challenges void.
  #answerOnce(ek: string, { asked, now }: AttestContext): void {
    for (const [other, at] of this.#answered) if (now - at >= CHALLENGE_LIFE_MS) this.#answered.delete(other)
    if ((this.#answered.get(ek) ?? -1) >= asked)
      throw new ZtError('ZT-401-NONCE', 'another challenge of this TPM was answered')
    this.#answered.set(ek, now)
  }

  #expected({ ak, before }: Quoting, context: AttestContext): ProofExpectation {
    const { challenge, transcript, spki, node, now } = context
    const { policies } = this.#parts
    const wish = policies.wish()
    if (Buffer.compare(canonicalBytes(wish), canonicalBytes(challenge.wish ?? {})) !== 0)
      throw new ZtError('ZT-401-NONCE', 'the PCR policy has changed since the challenge')
    const inForce = policies.current
    return {
      node,
      ak,
      extraData: transcript,
      spki,
      selection: wish,
      now,
      ...(inForce !== undefined && { policy: inForce.policy }),
      ...(before !== undefined && { clock: clockInfoOf(before) }),
    }
  }

  // A refusal by policy is remembered with what the machine measured, so that an operator can look at it.
  async #proveOrDrift(
    proof: ProofEvidence,
    { node, expected }: { readonly node: NodeRecord; readonly expected: ProofExpectation },
    context: AttestContext,
  ): Promise<ProofVerdict> {
    try {
      return verifyProof(proof, expected)
    } catch (error) {
      if (!isZtError(error) || error.code !== 'ZT-403-PCR') throw error
      // Policy is asked last: without it, the same proof says what was measured.
      const { policy: _policy, ...unjudged } = expected
      await this.#recordDrift(node, verifyProof(proof, unjudged), { context, error })
      throw error
    }
  }

  async #recordDrift(
    { name, tpm }: NodeRecord,
    verdict: ProofVerdict,
    { context, error }: { readonly context: AttestContext; readonly error: ZtError },
  ): Promise<void> {
    const { store, log } = this.#parts
    const step = { quote: this.#quoteOf(verdict, context), before: tpm?.quote?.clock }
    if (tpm?.drifted !== undefined) return store.nodes.recordDrift(name, step, tpm.drifted.row)
    await this.#noteReboot(step, context)
    const { details } = error
    const obj = { node: name, evidence: verdict.evidence, pcrs: verdict.quote.pcrs, details }
    const { seq } = await context.note({ type: 'node.drifted', out: 'deny', code: error.code, obj })
    await store.nodes.recordDrift(name, step, seq)
    log.warn('a node has drifted from the PCR policy: it is not renewed', {
      node: name,
      ...details,
      row: seq,
    })
  }

  #attested(
    verdict: ProofVerdict,
    { tpm, before }: { readonly tpm: TpmIdentity; readonly before: TpmClock | undefined },
    context: AttestContext,
  ): Pick<Attested, 'lvl' | 'evidence'> & { readonly tpm: AttestedTpm } {
    const { current } = this.#parts.policies
    const policy = current !== undefined &&
      verdict.set !== undefined && {
        version: current.policy.version,
        set: verdict.set,
        digest: current.digest,
      }
    return {
      lvl: TPM_LEVEL,
      evidence: verdict.evidence,
      tpm: {
        ek: tpm.ek,
        svidKey: verdict.level === 'tpm-quote/tpm-key' ? 'tpm' : 'soft',
        step: { quote: this.#quoteOf(verdict, context), before },
        policy: policy || undefined,
      },
    }
  }

  #quoteOf({ quote }: ProofVerdict, { now }: AttestContext): TpmQuote {
    const { resetCount: resets, restartCount: restarts, clock, safe } = quote.clock
    const { bank } = this.#parts.policies.wish()
    return {
      at: now,
      bank,
      pcrs: quote.pcrs,
      clock: { resets, restarts, clock, safe, firmware: quote.firmware },
    }
  }

  async #noteReboot({ quote, before }: QuoteStep, { node, note }: AttestContext): Promise<void> {
    if (before === undefined) return
    const { resets, restarts, firmware } = quote.clock
    if (before.resets === resets && before.restarts === restarts) return
    const obj = {
      node,
      resets: [before.resets, resets],
      restarts: [before.restarts, restarts],
      firmware: [before.firmware, firmware],
    }
    await note({ type: 'node.rebooted', out: 'info', obj })
  }
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
