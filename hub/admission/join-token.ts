// Joining by token: whoever has the token and a device key of its own gets the name. The proof is judged before the
// token is touched, so a bad one does not spend it; spending it and registering the device are one step in the store.
import { randomBytes } from 'node:crypto'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { sha256, sha256Text } from '#shared/encoding/digest.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { ErrorCode } from '#shared/errors/codes.ts'
import type { NodeName } from '#shared/identity/names.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import { publicKeyFromSpki } from '#shared/jose/keys.ts'
import type { Evidence } from '#shared/protocol/admission.ts'
import type { HubStore, Redemption, RedemptionOutcome, RedemptionRefusal } from '../store/store.ts'
import { requireProof, type AttestContext, type Attested, type Attestor } from './attestor.ts'
import { evidenceDigest } from './evidence-digest.ts'

export const JOIN_TOKEN_LIFE_MS: number = 10 * 60_000
const TOKEN_BYTES = 32

const REFUSALS: Readonly<Record<RedemptionRefusal, readonly [ErrorCode, string]>> = {
  unknown: ['ZT-403-JOIN', 'the join token is not for this node'],
  taken: ['ZT-403-JOIN', 'the name belongs to another machine; it takes a token that replaces'],
  expired: ['ZT-410-JOIN-EXPIRED', 'the join token has expired'],
  spent: ['ZT-409-JOIN-SPENT', 'the join token was used already'],
  revoked: ['ZT-403-REVOKED', 'the node is revoked'],
  log: ['ZT-490-FORK', 'another machine, or this one before it was allowed, kept a log of that name'],
  distrusted: [
    'ZT-490-FORK',
    'two heads of the log of the node contradict each other; it must be allowed first',
  ],
  // identity.md §4 A22: a name that a TPM stands for never comes to a machine that has only a token.
  'needs-tpm': ['ZT-412-TPM', 'the token, or the name, is for a machine that proves itself with a TPM'],
  'tpm-taken': ['ZT-409-TPM', 'the TPM stands for another name'],
}

export interface JoinTokenOrder {
  readonly node: NodeName
  readonly replace: boolean
  readonly requiresTpm?: boolean
  readonly createdBy: SpiffeId
  /** UTC, milliseconds */
  readonly now: number
}

export interface IssuedJoinToken {
  /** base64url, 256 random bits: a secret, told once */
  readonly token: string
  /** UTC, milliseconds */
  readonly expires: number
}

/** Makes a token for one use in ten minutes; only its digest is kept. ZT-503-STORE. */
export async function issueJoinToken(
  store: Pick<HubStore, 'joinTokens'>,
  order: JoinTokenOrder,
): Promise<IssuedJoinToken> {
  const secret = randomBytes(TOKEN_BYTES)
  const { node, replace, requiresTpm = false, createdBy, now } = order
  const expires = now + JOIN_TOKEN_LIFE_MS
  await store.joinTokens.add({ hash: sha256(secret), node, replace, requiresTpm, createdBy, expires })
  return { token: encodeBase64url(secret), expires }
}

type Accepted = Exclude<RedemptionOutcome, { kind: 'refused' }>

const howOf = ({ replaced }: Accepted): 'joined' | 'replaced' => (replaced ? 'replaced' : 'joined')

function accepted(outcome: RedemptionOutcome): Accepted {
  if (outcome.kind === 'refused') throw new ZtError(...REFUSALS[outcome.reason])
  return outcome
}

/**
 * Spends the token and registers the machine. Throws ZT-403-JOIN, ZT-403-REVOKED, ZT-409-JOIN-SPENT, ZT-409-TPM,
 * ZT-410-JOIN-EXPIRED, ZT-412-TPM, ZT-490-FORK.
 */
export async function redeemToken(
  { joinTokens }: Pick<HubStore, 'joinTokens'>,
  redemption: Redemption,
  { announce }: Pick<AttestContext, 'announce'>,
): Promise<Pick<Attested, 'how' | 'repeated'>> {
  // Only who has a token that counts gets a row, so that nobody else can fill the log. If we crash after the row, it
  // says who may have taken the name.
  const expected = accepted(await joinTokens.foresee(redemption))
  if (expected.kind === 'joined')
    await announce({ how: howOf(expected), device: sha256Text(redemption.device) })
  const outcome = accepted(await joinTokens.redeem(redemption))
  return { how: howOf(outcome), ...(outcome.kind === 'repeated' && { repeated: true }) }
}

export class JoinTokenAttestor implements Attestor {
  readonly #store: Pick<HubStore, 'joinTokens'>

  constructor(store: Pick<HubStore, 'joinTokens'>) {
    this.#store = store
  }

  async attest(evidence: Evidence, context: AttestContext): Promise<Attested | undefined> {
    if (evidence.type !== 'join-token') return undefined
    const { spki, proof } = evidence.device
    const device = decodeBase64url(spki, 'evidence.device.spki')
    requireProof(publicKeyFromSpki(device), proof, context.transcript)
    const hash = sha256(decodeBase64url(evidence.token, 'evidence.token'))
    const { node, log, now, transcript } = context
    const joined = await redeemToken(this.#store, { hash, node, device, log, now }, context)
    const shown = evidenceDigest({ type: 'join-token', spki: device, proof }, transcript)
    return { lvl: 1, device, ...joined, evidence: shown }
  }
}
