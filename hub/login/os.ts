// Logging in with the operating system's word: the client proves which account of the hub's machine it runs under by a
// file that only that account can have made. The configuration says which operator an account is.
import { randomBytes, randomUUID } from 'node:crypto'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { OperatorName, TrustDomain } from '#shared/identity/names.ts'
import { operatorId, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import {
  loginFileContent,
  loginTranscript,
  type LoginChallenge,
  type LoginRequest,
  type LoginResponse,
} from '#shared/protocol/login.ts'
import { verifyCsr, type VerifiedCsr } from '#shared/x509/csr.ts'
import { Challenges, type Challenge } from '../admission/challenges.ts'
import { requireNatsProof, type CredentialIssuer } from '../admission/credentials.ts'
import type { Refusals } from '../audit/refusals.ts'
import type { RowWriter } from '../audit/rows.ts'
import type { Denials } from '../revocation/denials.ts'
import type { ProofFolder } from './proof-folder.ts'

export interface OsLoginParts {
  readonly hubId: SpiffeId
  readonly trustDomain: TrustDomain
  readonly operators: readonly { readonly name: OperatorName; readonly uid: number }[]
  readonly folder: ProofFolder
  readonly clock: Clock
  readonly rows: RowWriter
  readonly refusals: Refusals
  readonly denials: Denials
  readonly credentials: CredentialIssuer
}

interface Outstanding {
  readonly uid: number
  readonly nonce: string
  readonly file: string
}

export class OsLogin {
  readonly #parts: OsLoginParts
  readonly #challenges: Challenges<Outstanding>

  constructor(parts: OsLoginParts) {
    this.#parts = parts
    this.#challenges = new Challenges(parts.clock)
  }

  /** Where to make which file. Given for any account: who is an operator is not told to who has proved nothing. */
  challenge(uid: number): LoginChallenge {
    const about = { uid, nonce: encodeBase64url(randomBytes(32)), file: encodeBase64url(randomBytes(16)) }
    const { session, expires } = this.#challenges.open(about)
    return { session, dir: this.#parts.folder.path, file: about.file, nonce: about.nonce, expires }
  }

  /** Credentials of the operator that the account is. ZT-401-NONCE, ZT-401-LOGIN, ZT-401-EVIDENCE, ZT-403-REVOKED. */
  async login(request: LoginRequest): Promise<LoginResponse> {
    const txn = randomUUID()
    try {
      return await this.#challenges.use(request.session, (challenge) => this.#login(request, challenge, txn))
    } catch (error) {
      await this.#parts.refusals.record({ type: 'operator.refused', txn }, error)
      throw error
    }
  }

  async #login(
    request: LoginRequest,
    challenge: Challenge<Outstanding>,
    txn: string,
  ): Promise<LoginResponse> {
    const { denials, rows, credentials } = this.#parts
    const csrDer = decodeBase64url(request.csr, 'csr')
    const csr = verifyCsr(csrDer)
    await this.#requireAccount(challenge, csrDer)
    requireNatsProof(request.nats, this.#transcript(request, challenge, csr))
    const id = this.#operator(challenge.about.uid)
    if (denials.since(id) !== undefined) throw new ZtError('ZT-403-REVOKED', 'the operator is revoked')
    const obj = { method: 'os', uid: challenge.about.uid }
    await rows.append({ type: 'operator.login', out: 'allow', txn, actor: { sub: id }, obj })
    const given = await credentials.issue({ id, csr, natsKey: request.nats.publicKey, txn })
    return { ...given, id }
  }

  #requireAccount(challenge: Challenge<Outstanding>, csrDer: Uint8Array): Promise<void> {
    const { file, uid } = challenge.about
    const until = this.#parts.clock.now()
    return this.#parts.folder.verify({
      file,
      uid,
      content: loginFileContent(csrDer),
      from: challenge.created,
      until,
    })
  }

  #operator(uid: number): SpiffeId {
    const { operators, trustDomain } = this.#parts
    const operator = operators.find((known) => known.uid === uid)
    if (operator === undefined)
      throw new ZtError('ZT-401-LOGIN', 'this account is not one that the hub knows as an operator')
    return operatorId(trustDomain, operator.name)
  }

  #transcript(request: LoginRequest, challenge: Challenge<Outstanding>, csr: VerifiedCsr): Uint8Array {
    return loginTranscript({
      hub: this.#parts.hubId,
      session: request.session,
      nonce: challenge.about.nonce,
      uid: challenge.about.uid,
      spki: sha256Text(csr.spki),
      enc: request.enc_key,
      nats: request.nats.publicKey,
    })
  }
}
