// What a hub asks of a machine, as the maker of cases has it: the challenge of the file, sealed into its session as the hub's own
// admission seals one, and the key that opens it.
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import type { TpmClaim } from '#hub/admission/attestor.ts'
import { Challenges } from '#hub/admission/challenges.ts'
import type { VerifiedEk } from '#hub/attestation/endorsement.ts'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import { parseNodeName, type NodeName } from '#shared/identity/names.ts'
import { parseSpiffeId } from '#shared/identity/spiffe-id.ts'
import type { P256KeyPair } from '#shared/jose/keys.ts'
import { createNoteSigner } from '#shared/log/note.ts'
import { generateNkey, type Nkey } from '#shared/nats/nkeys.ts'
import type { LogIdentity } from '#shared/protocol/admission.ts'
import type { PcrPolicy } from '#shared/protocol/pcr-policy.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import type { CaseChallenge, CaseEvidence } from './case.ts'
import { helloOf, transcriptOf } from './requests.ts'

export const NODE: NodeName = parseNodeName('mac-mini')
export const SELECTION = { bank: 'sha256', indices: [0, 1, 2, 3, 4, 5, 6, 7] } as const
const SECRET_BYTES = 32

/** A challenge, with what its file says for ztmesh alone. */
export interface Asked extends CaseChallenge {
  readonly sessionKey: Uint8Array
  readonly natsKey: Nkey
  /** of a machine that joins */
  readonly token?: { readonly secret: Uint8Array; readonly replaces: boolean }
}

export interface Asking {
  /** UTC, milliseconds */
  readonly now: number
  /** the log of the node */
  readonly log: LogIdentity
  /** the policy in force: what it judges is asked for */
  readonly policy?: PcrPolicy
  /** what the hello proved, of a machine that joins */
  readonly claim?: TpmClaim
  /** the hub's token may take the name over */
  readonly replaces?: boolean
}

/** The challenge for an SVID of that key. */
export function ask({ spki }: Pick<P256KeyPair, 'spki'>, asking: Asking): Asked {
  const { now, log, policy, claim, replaces } = asking
  const sessionKey = Uint8Array.from(randomBytes(32))
  const nonce = encodeBase64url(randomBytes(32))
  const pcrs = {
    bank: SELECTION.bank,
    indices: [...SELECTION.indices],
    eventLog: policy?.eventLog === 'required',
  }
  const about = { node: NODE, nonce, wish: pcrs, ...(claim !== undefined && { claim }) }
  const { session, expires } = new Challenges(new ManualClock(now), { key: sessionKey }).open(about)
  const natsKey = generateNkey('user')
  const challenge = {
    hub: parseSpiffeId('spiffe://mesh.example/hub/h1'),
    session,
    nonce,
    node: NODE,
    log,
    pcrs,
    expires,
    enc: encodeBase64url(randomBytes(32)),
    nats: natsKey.publicKey,
    used: false,
    ...(claim !== undefined && { secret: Uint8Array.from(Buffer.from(claim.secret, 'base64url')) }),
  }
  const hasToken = claim !== undefined || replaces !== undefined
  return {
    ...challenge,
    extraData: Buffer.from(transcriptOf(challenge, spki)).toString('hex'),
    sessionKey,
    natsKey,
    ...(hasToken && { token: { secret: Uint8Array.from(randomBytes(32)), replaces: replaces ?? false } }),
  }
}

/** What a hub would seal into a session that hears this hello, and holds the EK to be genuine. */
export function claimOf(hello: Pick<CaseEvidence, 'endorsement' | 'ak'>, ek: VerifiedEk): TpmClaim {
  const { sha256, root, manufacturer, model, version } = ek
  return {
    ek: sha256,
    root,
    maker: `${manufacturer} ${model} ${version}`,
    ak: encodeBase64url(hello.ak?.public ?? new Uint8Array()),
    secret: encodeBase64url(randomBytes(SECRET_BYTES)),
    hello: sha256Text(canonicalBytes(helloOf(hello))),
  }
}

/** The name of a new log of that node. */
export function logOf(node: NodeName, epoch = 1): LogIdentity {
  const origin = `mesh.example/log/node/${node}/e${epoch}`
  return { origin, vkey: createNoteSigner(origin, generateKeyPairSync('ed25519').privateKey).vkey }
}

export const extraOf = ({ extraData }: CaseChallenge): Uint8Array =>
  Uint8Array.from(Buffer.from(extraData, 'hex'))
