// Requests to the hub over the channel: signed by our SVID, sealed to the hub's key, answered with a receipt that only
// we can open and that only the hub can have signed. The broker between us is believed in nothing.
import { ZtError, fromWireError } from '#shared/errors/error.ts'
import type { Channel } from '#shared/host/channel.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { HeldIdentity, Identity } from '#shared/identity/identity.ts'
import { generateX25519 } from '#shared/jose/keys.ts'
import type { EncKey } from '#shared/protocol/enc-key.ts'
import { sealHubRequest } from '#shared/protocol/envelope.ts'
import { parseHubResult, type HubOp, type HubParams, type HubResults } from '#shared/protocol/hub-ops.ts'
import { openReceipt } from '#shared/protocol/receipt.ts'
import type { SvidValidator } from '#shared/x509/svid.ts'

export interface HubCallerParts {
  readonly channel: Channel
  readonly identity: Identity | HeldIdentity
  readonly hubKey: EncKey
  readonly trust: SvidValidator
  readonly clock: Clock
}

export interface HubCall<Op extends HubOp> {
  readonly op: Op
  readonly subject: string
  readonly params: HubParams[Op]
  /** 10 s unless given */
  readonly timeoutMs?: number
}

const TIMEOUT_MS = 10_000

export class HubCaller {
  readonly #parts: HubCallerParts

  constructor(parts: HubCallerParts) {
    this.#parts = parts
  }

  /**
   * The hub's result. Errors: ZT-503-HUB (no hub listens), ZT-504-TIMEOUT, ZT-503-NATS; those of openReceipt() for an
   * answer that is not the hub's; else the code that the hub gave.
   */
  async call<Op extends HubOp>(call: HubCall<Op>): Promise<HubResults[Op]> {
    const { channel, identity, hubKey, trust, clock } = this.#parts
    const replyKey = generateX25519()
    const { subject, op, params } = call
    const reply = channel.newInbox()
    const sealed = await sealHubRequest(
      { identity, to: hubKey, subject, reply, replyKey: replyKey.publicKey, now: clock.now() },
      { op, params },
    )
    const answer = await channel.request(subject, Buffer.from(sealed.text, 'latin1'), {
      timeoutMs: call.timeoutMs ?? TIMEOUT_MS,
      unreachable: 'ZT-503-HUB',
    })
    const receipt = openReceipt(Buffer.from(answer.data).toString('latin1'), {
      trust,
      now: clock.now(),
      from: hubKey.owner,
      to: identity.id,
      re: sealed.jti,
      key: replyKey.privateKey,
    })
    if (receipt.op !== call.op)
      throw new ZtError('ZT-421-MISDIRECTED', 'the receipt is for another operation')
    if (!receipt.ok) throw fromWireError(receipt.error)
    return parseHubResult(call.op, receipt.result)
  }
}
