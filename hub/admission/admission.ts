// Joining and staying, in two calls: a challenge, then proof over it and the node's fresh keys. Renewal is the same
// two calls. What is refused leaves a row, and says no more than its code.
import { randomBytes, randomUUID } from 'node:crypto'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { NodeName, TrustDomain } from '#shared/identity/names.ts'
import { linkId, nodeId, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import { parseVkey } from '#shared/log/note.ts'
import {
  attestTranscript,
  type AttestRequest,
  type AttestResponse,
  type Challenge,
  type ChallengeRequest,
  type LogIdentity,
} from '#shared/protocol/admission.ts'
import type { TpmHello } from '#shared/protocol/tpm-evidence.ts'
import type { Refusals } from '../audit/refusals.ts'
import type { RowWriter } from '../audit/rows.ts'
import type { Denials } from '../revocation/denials.ts'
import { RateLimiter } from '../rate-limit.ts'
import type { NodeRecord, NodeStore } from '../store/store.ts'
import type { AdmissionChallenge, AttestContext, Attested, Attestor, Intent } from './attestor.ts'
import type { Challenge as GivenOut, Challenges } from './challenges.ts'
import { requireNatsProof, type CredentialIssuer, type Issued } from './credentials.ts'
import { attestationOf, groundsOf, isRenewal, machineOf, rebootOf } from './grounds.ts'
import { requestedKeys, type RequestedKeys } from './requested-keys.ts'
import type { TpmAttestor } from './tpm.ts'

export interface AdmissionParts {
  readonly hubId: SpiffeId
  readonly trustDomain: TrustDomain
  readonly clock: Clock
  readonly rows: RowWriter
  readonly refusals: Refusals
  readonly nodes: NodeStore
  readonly denials: Denials
  readonly challenges: Challenges<AdmissionChallenge>
  readonly attestors: readonly Attestor[]
  /** one of the attestors; undefined where no evidence of a TPM is taken */
  readonly tpm?: TpmAttestor
  readonly credentials: CredentialIssuer
  /** the policy in force */
  readonly policy: () => { readonly ver: number; readonly sha256: string }
}

interface Proved {
  readonly id: SpiffeId
  readonly keys: RequestedKeys
  readonly attested: Attested
  readonly txn: string
}

type Outstanding = Pick<GivenOut<AdmissionChallenge>, 'about' | 'created'>

const NONCE_BYTES = 32
/** A hello costs the hub a chain of certificates and an RSA or ECDH operation; a machine says it once in its life. */
const HELLO_RATE = { burst: 20, perSecond: 5 }

export class Admission {
  readonly #parts: AdmissionParts
  readonly #hellos: RateLimiter

  constructor(parts: AdmissionParts) {
    this.#parts = parts
    this.#hellos = new RateLimiter(parts.clock, HELLO_RATE)
  }

  /**
   * A challenge for any name, known or not: who asks has proved nothing yet, but for a hello, whose TPM must be one of a
   * trusted vendor. ZT-412-TPM where the hub takes no TPMs, ZT-429-RATE, and the codes of TpmAttestor.hello().
   */
  async challenge(request: ChallengeRequest, peer: string): Promise<Challenge> {
    try {
      return this.#challenge(request, peer)
    } catch (error) {
      const obj = { node: request.node, step: 'hello' }
      await this.#parts.refusals.record({ type: 'node.refused', obj }, error)
      throw error
    }
  }

  #challenge({ node, tpm: hello }: ChallengeRequest, peer: string): Challenge {
    const { tpm, challenges } = this.#parts
    const greeted = hello === undefined ? undefined : this.#greet(hello, peer)
    const nonce = encodeBase64url(randomBytes(NONCE_BYTES))
    const wish = tpm?.wish()
    const { session, expires } = challenges.open({
      node,
      nonce,
      ...(wish !== undefined && { wish }),
      ...(greeted !== undefined && { claim: greeted.claim }),
    })
    return {
      session,
      nonce,
      expires,
      ...(wish !== undefined && { pcrs: wish }),
      ...(greeted !== undefined && { credential: greeted.credential }),
    }
  }

  /**
   * Credentials for a node that proved itself. Throws ZT-401-NONCE, ZT-401-EVIDENCE, ZT-403-JOIN, ZT-403-PCR,
   * ZT-403-REVOKED, ZT-409-JOIN-SPENT, ZT-409-TPM, ZT-410-JOIN-EXPIRED, ZT-412-TPM, those of requestedKeys(),
   * ZT-422-NOTE, ZT-490-FORK, those of verifyProof(), and what the issuer throws.
   */
  async attest(request: AttestRequest): Promise<AttestResponse> {
    const txn = randomUUID()
    try {
      return await this.#parts.challenges.use(request.session, async (challenge) =>
        this.#admit(request, await this.#prove(request, challenge, txn)),
      )
    } catch (error) {
      await this.#parts.refusals.record({ type: 'node.refused', txn, obj: { node: request.node } }, error)
      throw error
    }
  }

  #greet(hello: TpmHello, peer: string): ReturnType<TpmAttestor['hello']> {
    const { tpm, clock } = this.#parts
    if (tpm === undefined) throw new ZtError('ZT-412-TPM', 'this hub takes no evidence of a TPM')
    if (!this.#hellos.take(peer)) throw new ZtError('ZT-429-RATE', 'too many TPMs from this address')
    return tpm.hello(hello, clock.now())
  }

  async #prove(
    request: AttestRequest,
    { about: challenge, created: asked }: Outstanding,
    txn: string,
  ): Promise<Proved> {
    const { trustDomain, denials, clock, rows } = this.#parts
    const { nonce, node } = challenge
    if (node !== request.node) throw new ZtError('ZT-401-NONCE', 'the challenge is for another node')
    const id = nodeId(trustDomain, node)
    const keys = requestedKeys(request)
    const transcript = this.#transcript(request, { nonce, keys })
    requireNatsProof(request.nats, transcript)
    this.#requireLog(request.log, node)
    if (denials.since(id) !== undefined) throw new ZtError('ZT-403-REVOKED', 'the node is revoked')
    const note: AttestContext['note'] = (draft) => rows.append({ ...draft, txn, actor: { sub: id } })
    const announce = async (intent: Intent): Promise<void> => {
      const obj = { node, ...intent, ...logOf(request) }
      await note({ type: 'node.joining', out: 'info', obj })
    }
    const { spki } = keys.svid
    const about = { node, challenge, asked, transcript, spki, log: request.log, now: clock.now() }
    for (const attestor of this.#parts.attestors) {
      const attested = await attestor.attest(request.evidence, { ...about, announce, note })
      if (attested !== undefined) return { id, keys, attested, txn }
    }
    throw new ZtError('ZT-412-TPM', 'this hub takes no evidence of a TPM')
  }

  async #admit(request: AttestRequest, proved: Proved): Promise<AttestResponse> {
    const { nodes, rows, credentials, denials, clock } = this.#parts
    const { attested, id, txn } = proved
    await this.#requireSameLog(request)
    const obj = {
      node: request.node,
      how: attested.how,
      ...(attested.repeated && { repeated: true }),
      boot: request.boot,
      ...logOf(request),
      ...groundsOf(attested),
      ...machineOf(attested),
    }
    await this.#noteReboot(request, proved)
    const renewal = isRenewal(attested)
    const type = renewal ? 'node.attested' : 'node.joined'
    const row = await rows.append({ type, out: 'allow', txn, actor: { sub: id }, obj })
    const { node: name, boot, log } = request
    const { lvl, device, tpm } = attested
    const quote = tpm === undefined ? {} : { quote: tpm.step }
    const record = await nodes.attest({ name, lvl, boot, log, now: clock.now(), ...quote })
    // Again when a machine repeats, in case the first time did not come this far.
    if (!renewal) await credentials.endOthers(id, device)
    const issued = await this.#issue(request, proved)
    const rowsOf = { attested: row.seq, issued: issued.row.seq }
    // If we crash before this, the log has it all, and the store says it of the admission before.
    await nodes.recordAttestation(
      { name, device },
      attestationOf(attested, issued, { rows: rowsOf, at: clock.now() }),
    )
    return {
      ...issued.credentials,
      ...(issued.link !== undefined && { link: issued.link.chain }),
      deny: denials.signed(),
      policy: this.#parts.policy(),
      fence: record.fence,
      lvl: record.lvl,
    }
  }

  // Here and not where it is judged: nothing but the store comes between it and the clock that it tells of, so that one
  // reboot is told once, and every one is. If we crash in between, it is told again.
  async #noteReboot({ node }: AttestRequest, { attested, id, txn }: Proved): Promise<void> {
    const reboot = attested.tpm === undefined ? undefined : rebootOf(attested.tpm.step)
    if (reboot === undefined) return
    const obj = { node, ...reboot }
    await this.#parts.rows.append({ type: 'node.rebooted', out: 'info', txn, actor: { sub: id }, obj })
  }

  #issue({ node, nats }: AttestRequest, { id, keys, attested, txn }: Proved): Promise<Issued> {
    const machine = { name: node, device: attested.device }
    const grounds = groundsOf(attested)
    const { svid: csr, link } = keys
    const own = { id, csr, natsKey: nats.publicKey, machine, txn, grounds }
    if (link === undefined) return this.#parts.credentials.issueNoted(own)
    const connection = { id: linkId(this.#parts.trustDomain, node), csr: link }
    return this.#parts.credentials.issueNoted({ ...own, link: connection })
  }

  #transcript(
    request: AttestRequest,
    { nonce, keys }: { readonly nonce: string; readonly keys: RequestedKeys },
  ): Uint8Array {
    return attestTranscript({
      hub: this.#parts.hubId,
      session: request.session,
      nonce,
      node: request.node,
      spki: sha256Text(keys.svid.spki),
      ...(keys.link !== undefined && { link: sha256Text(keys.link.spki) }),
      enc: request.enc_key,
      nats: request.nats.publicKey,
      log: request.log,
    })
  }

  // A log's name says whose it is, so that no node can register the log of another one, or the hub's.
  #requireLog(log: LogIdentity, node: NodeName): void {
    const head = `${this.#parts.trustDomain}/log/node/${node}/e`
    const epoch = log.origin.startsWith(head) ? log.origin.slice(head.length) : ''
    if (!/^[1-9][0-9]{0,8}$/.test(epoch))
      throw new ZtError('ZT-422-SCHEMA', `field "log.origin" must be ${head} and a number`)
    if (parseVkey(log.vkey).name !== log.origin)
      throw new ZtError('ZT-422-SCHEMA', 'field "log.vkey" must be a key of that origin')
  }

  // A node that comes back with another log has lost or left the one that is anchored here: that takes an operator.
  async #requireSameLog({ node, log }: AttestRequest): Promise<void> {
    const held: NodeRecord | undefined = await this.#parts.nodes.find(node)
    if (held?.log === undefined) return
    if (held.log.origin === log.origin && held.log.vkey === log.vkey) return
    throw new ZtError('ZT-490-FORK', 'the node has another log than the one that is anchored', {
      details: { held: held.log.origin },
    })
  }
}

function logOf({ log }: AttestRequest): { readonly log: string; readonly vkey: string } {
  return { log: log.origin, vkey: log.vkey }
}
