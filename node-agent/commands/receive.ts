// The one way by which a command gets in: the checks of authority-and-audit.md §4.4 in their order, then one transaction
// that consumes nonce and token and writes the row, and only then the action. Nobody before it is trusted: not the
// broker, not the connection, not the sender.
import { isZtError, toWireError } from '#shared/errors/error.ts'
import { sleep } from '#shared/host/clock.ts'
import type { RowReceipt } from '#shared/host/durable-log.ts'
import type { Logger } from '#shared/host/logger.ts'
import type { HeldIdentity, Identity } from '#shared/identity/identity.ts'
import type { CommandEnvelope } from '#shared/protocol/envelope.ts'
import { sealReceipt, type Outcome } from '#shared/protocol/receipt.ts'
import type { SigningState } from '../attest/tpm-svid-key.ts'
import type { NodeLog } from '../audit/node-log.ts'
import type { Rejections } from '../audit/rejections.ts'
import type { RateBucket } from '../rate.ts'
import type { Arrival } from './arrival.ts'
import { checkAnchor, isAnchoredAtOnce, type AnchorRule } from './checks/anchor.ts'
import { proveEnvelope, type EnvelopeJudge } from './checks/envelope.ts'
import { proveGrant, type GrantJudge } from './checks/grant.ts'
import { checkStillGranted } from './checks/still.ts'
import type { GrantedCommand, PreparedCommand, Preparer } from './handler.ts'
import { Trail } from './trail.ts'

export interface ReceiverParts extends EnvelopeJudge, GrantJudge {
  readonly log: NodeLog
  readonly rejections: Rejections
  readonly logger: Logger
  /** of all messages, whoever sent them */
  readonly load: RateBucket
  /** commands under way at once, at most */
  readonly maxUnderway: number
  readonly anchor: AnchorRule & { readonly ageMs: () => number; readonly anchorSoon: () => void }
  /** Resolves once the node can judge: rejects while it cannot know who is revoked, or its log is contradicted. */
  readonly ready: () => Promise<void>
  /** that signs receipts now */
  readonly identity: () => Identity | HeldIdentity
  /** how its key is doing, where that is not in memory */
  readonly signing: () => SigningState
  readonly prepare: Preparer
}

/** Waiting for a slow TPM: at a tenth of a second each, what is taken in is answered within seconds. */
const MAX_SIGNATURES = 32

export class Receiver {
  readonly #parts: ReceiverParts
  readonly #underway = new Set<Promise<void>>()

  constructor(parts: ReceiverParts) {
    this.#parts = parts
  }

  /** Takes one message. Never rejects: what is refused becomes a row, and an answer if its sender is known. */
  receive(arrival: Arrival): Promise<void> {
    const { load, maxUnderway, rejections, signing } = this.#parts
    // Check 0: shedding load is the only thing that happens to a message before it is looked at.
    // So is one whose answer would have to wait for too many others to be signed.
    const isBehind = signing().waiting >= MAX_SIGNATURES
    if (!load.take() || this.#underway.size >= maxUnderway || isBehind) {
      rejections.count('ZT-429-RATE')
      return Promise.resolve()
    }
    const work = this.#take(arrival)
    this.#underway.add(work)
    void work.finally(() => this.#underway.delete(work))
    return work
  }

  /** True as soon as no command is under way, false if one still is after `withinMs`. */
  async idle(withinMs: number): Promise<boolean> {
    const stopping = new AbortController()
    const late = sleep(this.#parts.clock, withinMs, stopping.signal)
    await Promise.race([late, this.#allEnded()])
    stopping.abort()
    return this.#underway.size === 0
  }

  async #allEnded(): Promise<void> {
    while (this.#underway.size > 0) await Promise.allSettled(this.#underway)
  }

  async #take(arrival: Arrival): Promise<void> {
    const trail = new Trail()
    try {
      const granted = await this.#judge(arrival, trail)
      const prepared = await this.#parts.prepare(granted)
      const accepted = await this.#accept(granted, prepared)
      await this.#execute(arrival, { granted, prepared, accepted })
    } catch (error) {
      await this.#refuse(arrival, trail, error)
    }
  }

  /** Checks 1 to 14, and the number of the next. */
  async #judge(arrival: Arrival, trail: Trail): Promise<GrantedCommand> {
    const { clock, ready } = this.#parts
    const arrivedNs = clock.monotonicNs()
    await ready()
    const proven = proveEnvelope(arrival, this.#parts, trail)
    const { claims, hub } = proveGrant(proven, this.#parts, trail)
    trail.check = 15
    const { envelope, sender } = proven
    return { cmd: envelope.cmd, envelope, sender, claims, hub, trail, arrivedNs }
  }

  /** Checks 16 and 17. If the process dies in the middle, the transaction never was, and neither was the command. */
  async #accept(granted: GrantedCommand, prepared: PreparedCommand): Promise<RowReceipt> {
    const { anchor, ready } = this.#parts
    try {
      await ready()
      granted.trail.run(16, () => checkAnchor(granted.cmd, anchor.ageMs(), anchor))
      granted.trail.check = 17
      return await this.#commit(granted, prepared)
    } catch (error) {
      prepared.release()
      throw error
    }
  }

  #commit(granted: GrantedCommand, prepared: PreparedCommand): Promise<RowReceipt> {
    const { log, clock } = this.#parts
    const { cmd, envelope, claims, trail } = granted
    const { payload } = prepared
    const priv =
      payload === undefined ? {} : { priv: { alg: 'sha-256-salted', c: payload.commitment } as const }
    const draft = { type: 'cmd.accepted', out: 'allow', ...trail.row(), ...priv, obj: prepared.obj } as const
    const proc = 'proc' in cmd ? cmd.proc : null
    return log.append(draft, () => {
      checkStillGranted(granted, this.#parts)
      log.consumed.consume({ ...envelope, issuer: envelope.iss }, claims)
      log.commands.open({ jti: envelope.jti, op: cmd.op, txn: claims.txn, proc, acceptedMs: clock.now() })
      if (payload !== undefined) log.payloads.add(payload)
      prepared.record?.()
    })
  }

  /** Check 18. The token stays consumed whatever happens here. */
  async #execute(
    arrival: Arrival,
    command: { granted: GrantedCommand; prepared: PreparedCommand; accepted: RowReceipt },
  ): Promise<void> {
    const { granted, prepared, accepted } = command
    const { anchor } = this.#parts
    const { envelope, cmd } = granted
    try {
      const { result, row, afterwards } = await prepared.run(accepted)
      await this.#answer(arrival, envelope, { op: cmd.op, ok: true, result, ...evidence(accepted, row) })
      afterwards?.()
    } catch (error) {
      const failed = await this.#recordFailure(granted, prepared, error)
      const wire = toWireError(error, envelope.jti)
      await this.#answer(arrival, envelope, {
        op: cmd.op,
        ok: false,
        error: wire,
        ...evidence(accepted, failed ?? accepted),
      })
    }
    if (isAnchoredAtOnce(cmd)) anchor.anchorSoon()
  }

  async #recordFailure(
    { envelope, trail, cmd }: GrantedCommand,
    prepared: PreparedCommand,
    error: unknown,
  ): Promise<RowReceipt | undefined> {
    const { log, logger } = this.#parts
    const code = isZtError(error) ? error.code : 'ZT-500-INTERNAL'
    logger.warn('an accepted command failed', { op: cmd.op, jti: envelope.jti, error })
    if (!prepared.cameToNothing()) return undefined
    try {
      return await log.append(
        { type: 'cmd.failed', out: 'error', code, ...trail.row(), obj: { op: cmd.op } },
        () => {
          log.commands.close(envelope.jti)
          prepared.recordNothing?.()
        },
      )
    } catch (cause) {
      // It stays open, so the next start finds it and says that its outcome is not known.
      logger.error('the failure of a command could not be recorded', { jti: envelope.jti, error: cause })
      return undefined
    }
  }

  async #refuse(arrival: Arrival, trail: Trail, error: unknown): Promise<void> {
    const { rejections, logger, signing } = this.#parts
    const code = isZtError(error) ? error.code : 'ZT-500-INTERNAL'
    if (!isZtError(error))
      logger.error('a check could not run, so its message is refused', { check: trail.check, error })
    const { envelope } = trail
    const obj = { check: trail.check, ...findingOf(error) }
    await rejections.record({ type: 'cmd.rejected', out: 'deny', code, ...trail.row(), obj })
    // Nobody gets an answer before we know who it is, and that the answer goes to them.
    if (envelope === undefined) return
    // Nor at the cost of those who are to be served: anybody can send what is refused.
    if (signing().waiting >= MAX_SIGNATURES / 4) return
    await this.#answer(arrival, envelope, {
      op: envelope.cmd.op,
      ok: false,
      error: toWireError(error, envelope.jti),
    })
  }

  async #answer(arrival: Arrival, envelope: CommandEnvelope, outcome: Outcome): Promise<void> {
    const { clock, identity, logger } = this.#parts
    try {
      const sealed = await sealReceipt(identity(), { to: envelope, outcome, now: clock.now() })
      arrival.respond(Buffer.from(sealed, 'latin1'))
    } catch (error) {
      // What was done stays done and recorded; the caller finds it with `process.list`.
      logger.warn('a receipt could not be sent', { jti: envelope.jti, error })
    }
  }
}

/** The row of the decision, under a head that covers everything that came of it. */
function evidence(accepted: RowReceipt, newest: RowReceipt): Pick<Outcome, 'row' | 'checkpoint'> {
  const { log, seq, hash } = accepted
  return { row: { log, seq, hash }, checkpoint: newest.checkpoint }
}

const FINDINGS = ['reason', 'field', 'fact', 'local'] as const

/** Which rule of a check it was: names out of our own code, never words of the message. */
function findingOf(error: unknown): Record<string, string> {
  if (!isZtError(error)) return {}
  const { details } = error
  return Object.fromEntries(
    FINDINGS.flatMap((name) => {
      const value = details[name]
      return typeof value === 'string' && value.length <= 64 ? [[name, value]] : []
    }),
  )
}
