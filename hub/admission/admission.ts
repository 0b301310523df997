// Joining and staying, in two calls: a challenge, then proof over it and the node's fresh keys. Renewal is the same
// two calls. What is refused leaves a row, and says no more than its code.
import { randomBytes, randomUUID } from 'node:crypto'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { NodeName, TrustDomain } from '#shared/identity/names.ts'
import { nodeId, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import { parseVkey } from '#shared/log/note.ts'
import {
  attestTranscript,
  type AttestRequest,
  type AttestResponse,
  type Challenge,
  type LogIdentity,
} from '#shared/protocol/admission.ts'
import { verifyCsr, type VerifiedCsr } from '#shared/x509/csr.ts'
import type { Refusals } from '../audit/refusals.ts'
import type { RowWriter } from '../audit/rows.ts'
import type { Denials } from '../revocation/denials.ts'
import type { NodeRecord, NodeStore } from '../store/store.ts'
import type { Attested, Attestor, Intent } from './attestor.ts'
import { Challenges } from './challenges.ts'
import { requireNatsProof, type CredentialIssuer } from './credentials.ts'

export interface AdmissionParts {
  readonly hubId: SpiffeId
  readonly trustDomain: TrustDomain
  readonly clock: Clock
  readonly rows: RowWriter
  readonly refusals: Refusals
  readonly nodes: NodeStore
  readonly denials: Denials
  readonly attestors: readonly Attestor[]
  readonly credentials: CredentialIssuer
  /** the policy in force */
  readonly policy: () => { readonly ver: number; readonly sha256: string }
}

interface Outstanding {
  readonly node: NodeName
  readonly nonce: string
}

interface Proved {
  readonly id: SpiffeId
  readonly csr: VerifiedCsr
  readonly attested: Attested
}

const NONCE_BYTES = 32

export class Admission {
  readonly #parts: AdmissionParts
  readonly #challenges: Challenges<Outstanding>

  constructor(parts: AdmissionParts) {
    this.#parts = parts
    this.#challenges = new Challenges(parts.clock)
  }

  /** A challenge for any name, known or not: who asks has proved nothing yet. ZT-429-RATE. */
  challenge(node: NodeName, peer: string): Challenge {
    const nonce = encodeBase64url(randomBytes(NONCE_BYTES))
    const { session, expires } = this.#challenges.open({ node, nonce }, { peer, subject: node })
    return { session, nonce, expires }
  }

  /**
   * Credentials for a node that proved itself. Throws ZT-401-NONCE, ZT-401-EVIDENCE, ZT-403-JOIN, ZT-403-REVOKED,
   * ZT-409-JOIN-SPENT, ZT-410-JOIN-EXPIRED, ZT-422-CSR, ZT-422-NOTE, ZT-490-FORK, and what the issuer throws.
   */
  async attest(request: AttestRequest): Promise<AttestResponse> {
    const txn = randomUUID()
    try {
      const proved = await this.#prove(request, txn)
      return await this.#admit(request, proved, txn)
    } catch (error) {
      await this.#parts.refusals.record({ type: 'node.refused', txn, obj: { node: request.node } }, error)
      throw error
    }
  }

  async #prove(request: AttestRequest, txn: string): Promise<Proved> {
    const { trustDomain, denials, clock, rows } = this.#parts
    const { nonce, node } = this.#challenges.take(request.session).about
    if (node !== request.node) throw new ZtError('ZT-401-NONCE', 'the challenge is for another node')
    const id = nodeId(trustDomain, node)
    const csr = verifyCsr(decodeBase64url(request.csr, 'csr'))
    const transcript = this.#transcript(request, { nonce, csr })
    requireNatsProof(request.nats, transcript)
    this.#requireLog(request.log, node)
    if (denials.since(id) !== undefined) throw new ZtError('ZT-403-REVOKED', 'the node is revoked')
    const announce = async (intent: Intent): Promise<void> => {
      const obj = { node, ...intent, ...logOf(request) }
      await rows.append({ type: 'node.joining', out: 'info', txn, actor: { sub: id }, obj })
    }
    for (const attestor of this.#parts.attestors) {
      const context = { node, transcript, log: request.log, now: clock.now(), announce }
      const attested = await attestor.attest(request.evidence, context)
      if (attested !== undefined) return { id, csr, attested }
    }
    throw new ZtError('ZT-401-EVIDENCE', 'this hub takes no evidence of that type')
  }

  async #admit(request: AttestRequest, proved: Proved, txn: string): Promise<AttestResponse> {
    const { nodes, rows, credentials, denials, clock } = this.#parts
    const { attested, id } = proved
    await this.#requireSameLog(request)
    const obj = {
      node: request.node,
      how: attested.how,
      ...(attested.repeated && { repeated: true }),
      lvl: attested.lvl,
      boot: request.boot,
      ...logOf(request),
    }
    const type = attested.how === 'device-key' ? 'node.attested' : 'node.joined'
    await rows.append({ type, out: 'allow', txn, actor: { sub: id }, obj })
    const { node: name, boot, log } = request
    const record = await nodes.attest({ name, lvl: attested.lvl, boot, log, now: clock.now() })
    // Again when a machine repeats, in case the first time did not come this far.
    if (attested.how !== 'device-key') await credentials.endOthers(id, attested.device)
    const machine = { name, device: attested.device }
    const given = await credentials.issue({
      id,
      csr: proved.csr,
      natsKey: request.nats.publicKey,
      machine,
      txn,
    })
    return {
      ...given,
      deny: denials.signed(),
      policy: this.#parts.policy(),
      fence: record.fence,
      lvl: record.lvl,
    }
  }

  #transcript(
    request: AttestRequest,
    { nonce, csr }: { readonly nonce: string; readonly csr: VerifiedCsr },
  ): Uint8Array {
    return attestTranscript({
      hub: this.#parts.hubId,
      session: request.session,
      nonce,
      node: request.node,
      spki: sha256Text(csr.spki),
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
