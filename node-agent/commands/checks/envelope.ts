// Checks 1 to 9 of authority-and-audit.md §4.4, in that order: cheap and stateless first, nothing is written, and
// nothing of the sender's is believed before the check that proves it.
import type { KeyObject } from 'node:crypto'

import { sha256Text } from '#shared/encoding/digest.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import { principalKind, type PrincipalKind, type SpiffeId } from '#shared/identity/spiffe-id.ts'
import { verifyJws, type ParsedJws } from '#shared/jose/jws.ts'
import type { DenyList } from '#shared/protocol/deny-list.ts'
import {
  checkClock,
  checkDirection,
  checkFreshness,
  COMMAND_TYP,
  MAX_ENVELOPE_BYTES,
  openSealed,
  parseInner,
  readCommandEnvelope,
  type CommandEnvelope,
} from '#shared/protocol/envelope.ts'
import { inboxPrefix } from '#shared/protocol/subjects.ts'
import type { SvidValidator, VerifiedSvid } from '#shared/x509/svid.ts'
import type { ConsumedStore } from '../../audit/consumed.ts'
import type { Marks } from '../../audit/marks.ts'
import { refuseBeforeMemory } from '../../audit/memory-start.ts'
import type { SenderRates } from '../../rate.ts'
import type { Arrival } from '../arrival.ts'
import type { Trail } from '../trail.ts'

export interface EnvelopeJudge {
  readonly me: SpiffeId
  readonly clock: Clock
  readonly trust: SvidValidator
  readonly deny: DenyList
  readonly consumed: ConsumedStore
  readonly marks: Marks
  readonly rates: SenderRates
  /** our private key of that id, while it may still be used */
  readonly key: (kid: string) => KeyObject | undefined
}

export interface ProvenEnvelope {
  readonly envelope: CommandEnvelope
  readonly sender: VerifiedSvid
}

const CALLERS: ReadonlySet<PrincipalKind> = new Set(['operator', 'agent', 'ci'])

/** The message, from whom it says, meant for this node, in time and not seen before. Throws the code of its check. */
export function proveEnvelope(arrival: Arrival, judge: EnvelopeJudge, trail: Trail): ProvenEnvelope {
  const text = trail.run(1, () => readText(arrival))
  trail.envelopeSha256 = sha256Text(text)
  const inner = trail.run(2, () => openSealed(text, { typ: COMMAND_TYP, key: judge.key }))
  const jws = trail.run(1, () => parseInner(inner, COMMAND_TYP))
  const sender = proveSender(jws, judge, trail)
  const payload = trail.run(5, () => verifyJws(jws, sender.publicKey))
  trail.sender = sender
  const envelope = trail.run(6, () => readCommandEnvelope(payload))
  trail.run(7, () => {
    checkKind(sender)
    checkDirection(envelope, { sender: sender.id, me: judge.me, subject: arrival.subject })
    checkReply(sender, arrival)
    checkNode(envelope, judge.me)
  })
  trail.envelope = envelope
  trail.run(0, () => checkRate(sender, judge))
  trail.run(8, () => checkTime(envelope, judge))
  trail.run(9, () => judge.consumed.refuseSeen({ ...envelope, issuer: envelope.iss }))
  return { envelope, sender }
}

function readText({ data }: Arrival): string {
  if (data.length > MAX_ENVELOPE_BYTES) {
    throw new ZtError('ZT-400-MALFORMED', `message is larger than ${MAX_ENVELOPE_BYTES} bytes`)
  }
  // One character a byte: what is not ASCII is no base64url, and the parser of the compact form refuses it.
  return Buffer.from(data.buffer, data.byteOffset, data.length).toString('latin1')
}

/** Checks 3 and 4: who is denied is refused whether or not the chain is good. */
function proveSender(jws: ParsedJws, judge: EnvelopeJudge, trail: Trail): VerifiedSvid {
  trail.run(3, () => judge.deny.checkThumbprint(jws.thumbprint))
  const sender = trail.run(4, () => judge.trust.validate(jws.x5c, judge.clock.now()))
  trail.run(3, () => judge.deny.check(sender))
  return sender
}

/** Hubs, brokers, nodes and their links command nobody, whatever somebody has granted them. */
function checkKind({ id }: VerifiedSvid): void {
  if (CALLERS.has(principalKind(id))) return
  throw new ZtError('ZT-421-MISDIRECTED', 'the sender is not one that commands', {
    details: { field: 'iss' },
  })
}

/** Where the channel would carry the answer is the broker's word: it must be an inbox of the signer's, or it is none. */
function checkReply(sender: VerifiedSvid, { replyTo }: Arrival): void {
  if (replyTo?.startsWith(`${inboxPrefix(sender.id)}.`) === true) return
  throw new ZtError('ZT-421-MISDIRECTED', 'the answer would go to somebody other than the sender', {
    details: { field: 'reply' },
  })
}

function checkNode(envelope: CommandEnvelope, me: SpiffeId): void {
  if (envelope.cmd.node === me) return
  throw new ZtError('ZT-421-MISDIRECTED', 'field "cmd.node" is another node', {
    details: { field: 'cmd.node' },
  })
}

/** Part of check 0, as early as a sender is known. */
function checkRate(sender: VerifiedSvid, { rates }: EnvelopeJudge): void {
  if (!rates.take(sender.id)) throw new ZtError('ZT-429-RATE', 'too many commands from this sender')
}

function checkTime(envelope: CommandEnvelope, { clock, marks }: EnvelopeJudge): void {
  const now = clock.now()
  // First our own clock: with a wrong one nothing can be said about anybody's time.
  checkClock({ now, highWater: marks.value('clock') ?? 0 })
  checkFreshness({ iat: envelope.iat, exp: envelope.exp, now })
  refuseBeforeMemory(marks, 'message', envelope.iat)
}
