// What a request over NATS must pass before an operation sees it: the checks 0 to 9 of authority-and-audit §4.4, in that
// order. Nothing of the broker is trusted; a message is what its signature and its own words prove.
import type { KeyObject } from 'node:crypto'
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import { principalTag } from '#shared/identity/principal-tag.ts'
import { trustDomainOf, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import type { DenyList } from '#shared/protocol/deny-list.ts'
import {
  authenticate,
  checkClock,
  checkDirection,
  checkFreshness,
  HUB_TYP,
  MAX_ENVELOPE_BYTES,
  readHubEnvelope,
  retainUntil,
  type AuthenticEnvelope,
  type HubEnvelope,
} from '#shared/protocol/envelope.ts'
import { parseHubSubject } from '#shared/protocol/subjects.ts'
import type { SvidValidator, VerifiedSvid } from '#shared/x509/svid.ts'
import { RateLimiter } from '../rate-limit.ts'
import type { MessageStore } from '../store/store.ts'

export interface GateParts {
  readonly hubId: SpiffeId
  readonly clock: Clock
  readonly trust: SvidValidator
  readonly deny: DenyList
  readonly key: (kid: string) => KeyObject | undefined
  readonly messages: MessageStore
  /** the highest time in the log of the hub, UTC milliseconds: a row that is written later may say less */
  readonly highWater: () => number
}

export interface Arrived {
  readonly subject: string
  readonly data: Uint8Array
}

/** A request whose sender is proved. Until `fresh()` has resolved it may be old, late or a copy. */
export interface Received {
  readonly caller: VerifiedSvid
  readonly envelope: HubEnvelope
  /** base64url SHA-256 of the sealed text, for the audit row */
  readonly sha256: string
}

// For one principal: far above what people and agents do, below what would keep the hub from the others.
const RATE = { burst: 300, perSecond: 250 }
// For one tag, before anything is opened. It lets a little more through than RATE does, so that whoever is a little too
// fast is told so, and only a flood is met with silence.
const UNOPENED_RATE = { burst: 400, perSecond: 300 }

export class Gate {
  readonly #parts: GateParts
  readonly #unopened: RateLimiter
  readonly #limiter: RateLimiter

  constructor(parts: GateParts) {
    this.#parts = parts
    this.#unopened = new RateLimiter(parts.clock, UNOPENED_RATE)
    this.#limiter = new RateLimiter(parts.clock, RATE)
  }

  /** The tag under which a message came; '' for a subject that names no sender. */
  senderOf(subject: string): string {
    return parseHubSubject(subject, trustDomainOf(this.#parts.hubId))?.tag ?? ''
  }

  /**
   * Check 0: false for a message that is to be dropped unopened, because more came under its sender's tag than one
   * principal may send. The broker lets nobody publish under the tag of another.
   */
  hasRoom(tag: string): boolean {
    return this.#unopened.take(tag)
  }

  /**
   * Checks 1 to 7. Throws ZT-413-SIZE, ZT-400-MALFORMED, ZT-400-KID, ZT-403-REVOKED, ZT-401-CERT, ZT-401-SIG,
   * ZT-422-SCHEMA, ZT-421-MISDIRECTED: there is nobody yet to whom an answer could go.
   */
  open(message: Arrived): Received {
    const { svid, payload, sha256 } = this.#authenticate(message.data)
    const envelope = readHubEnvelope(payload)
    checkDirection(envelope, { sender: svid.id, me: this.#parts.hubId, subject: message.subject })
    this.#checkRoute(message.subject, svid.id, envelope)
    return { caller: svid, envelope, sha256 }
  }

  /**
   * The sender's rate, then checks 8 and 9; remembers the message. Throws ZT-429-RATE, ZT-408-STALE, ZT-408-CLOCK,
   * ZT-409-REPLAY, ZT-503-STORE.
   */
  async admit({ envelope, caller }: Received): Promise<void> {
    if (!this.#limiter.take(caller.id))
      throw new ZtError('ZT-429-RATE', 'too many requests from this principal')
    const { clock, messages, highWater } = this.#parts
    const now = clock.now()
    const { iss, nonce, jti, iat, exp } = envelope
    checkClock({ now, highWater: highWater() })
    checkFreshness({ iat, exp, now })
    if (!(await messages.remember({ iss, nonce, jti, until: retainUntil({ iat, exp }) })))
      throw new ZtError('ZT-409-REPLAY', 'this message was seen before')
  }

  // Operation and sender are said twice: by the subject, which NATS limits, and by the sender, who signs them.
  #checkRoute(subject: string, sender: SpiffeId, { op }: HubEnvelope): void {
    const route = parseHubSubject(subject, trustDomainOf(this.#parts.hubId))
    if (route?.op !== op)
      throw new ZtError('ZT-421-MISDIRECTED', 'field "op" is not the operation of the subject', {
        details: { field: 'op' },
      })
    if (route.tag !== principalTag(sender))
      throw new ZtError('ZT-421-MISDIRECTED', 'the subject is for another sender', {
        details: { field: 'tag' },
      })
  }

  #authenticate(data: Uint8Array): AuthenticEnvelope {
    if (data.length > MAX_ENVELOPE_BYTES)
      throw new ZtError('ZT-413-SIZE', `message is over ${MAX_ENVELOPE_BYTES} bytes`)
    const { trust, deny, key, clock } = this.#parts
    // Compact JOSE is ASCII; any other byte becomes a character that its parser refuses.
    const text = Buffer.from(data).toString('latin1')
    return authenticate(text, { typ: HUB_TYP, key, trust, deny, now: clock.now() })
  }
}
