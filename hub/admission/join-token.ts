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
import type { HubStore, RedemptionOutcome, RedemptionRefusal } from '../store/store.ts'
import { requireProof, type AttestContext, type Attested, type Attestor } from './attestor.ts'

export const JOIN_TOKEN_LIFE_MS: number = 10 * 60_000
const TOKEN_BYTES = 32
const TPM_LEVEL = 2

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
}

export interface JoinTokenOrder {
  readonly node: NodeName
  readonly replace: boolean
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
  const { node, replace, createdBy, now } = order
  const expires = now + JOIN_TOKEN_LIFE_MS
  await store.joinTokens.add({ hash: sha256(secret), node, replace, createdBy, expires })
  return { token: encodeBase64url(secret), expires }
}

type Accepted = Exclude<RedemptionOutcome, { kind: 'refused' }>

const howOf = ({ replaced }: Accepted): 'joined' | 'replaced' => (replaced ? 'replaced' : 'joined')

function accepted(outcome: RedemptionOutcome): Accepted {
  if (outcome.kind === 'refused') throw new ZtError(...REFUSALS[outcome.reason])
  return outcome
}

export class JoinTokenAttestor implements Attestor {
  readonly #store: Pick<HubStore, 'joinTokens' | 'nodes'>

  constructor(store: Pick<HubStore, 'joinTokens' | 'nodes'>) {
    this.#store = store
  }

  async attest(evidence: Evidence, context: AttestContext): Promise<Attested | undefined> {
    if (evidence.type !== 'join-token') return undefined
    const { spki, proof } = evidence.device
    const device = decodeBase64url(spki, 'evidence.device.spki')
    requireProof(publicKeyFromSpki(device), proof, context.transcript)
    await this.#refuseDowngrade(context.node)
    const hash = sha256(decodeBase64url(evidence.token, 'evidence.token'))
    const { node, log, now } = context
    const redemption = { hash, node, device, log, now }
    const { joinTokens } = this.#store
    // Only who has a token that counts gets a row, so that nobody else can fill the log. If we crash after the row, it
    // says who may have taken the name.
    const expected = accepted(await joinTokens.foresee(redemption))
    if (expected.kind === 'joined')
      await context.announce({ how: howOf(expected), device: sha256Text(device) })
    const outcome = accepted(await joinTokens.redeem(redemption))
    const repeated = outcome.kind === 'repeated' ? ({ repeated: true } as const) : {}
    return { lvl: 1, device, how: howOf(outcome), ...repeated }
  }

  // identity.md §4 A22: a name that a TPM stands for never comes to a machine that has only a token.
  async #refuseDowngrade(node: NodeName): Promise<void> {
    const held = await this.#store.nodes.find(node)
    if (held !== undefined && held.lvl >= TPM_LEVEL)
      throw new ZtError('ZT-403-JOIN', 'the node is registered with a TPM and cannot join by token')
  }
}
