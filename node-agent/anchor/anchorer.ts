// Keeps the head of this node's log in the hub's log, and the hub's head in this one: so that neither can be rewritten
// without the other showing it. Every 5 s when something happened, every 30 s when nothing did, at once on request.
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import { ZtError, isZtError } from '#shared/errors/error.ts'
import type { Clock, Timer } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'
import type { Checkpoint } from '#shared/log/checkpoint.ts'
import type { AnchorRequest, AnchorResponse } from '#shared/protocol/anchor.ts'
import type { NodeLog } from '../audit/node-log.ts'
import { AnchorState, isContradiction } from './anchor-state.ts'
import { verifyConfirmation, type HubLog } from './confirmation.ts'

export interface AnchorerParts {
  readonly log: NodeLog
  readonly hub: HubLog
  readonly clock: Clock
  readonly logger: Logger
  readonly intervalMs: number
  readonly heartbeatMs: number
  readonly maxAgeMs: number
  /** Asks the hub. Rejects with what the hub answers, or when it cannot be asked. */
  readonly ask: (request: AnchorRequest) => Promise<AnchorResponse>
}

export class Anchorer {
  readonly #parts: AnchorerParts
  readonly #state: AnchorState
  /** rows behind the anchored head that only say that it was anchored */
  #ownRows = 0
  #confirmedNs: bigint | undefined
  #movedNs: bigint
  #seenSize: number
  #stale = false
  #anchoring: Promise<void> | undefined
  #again = false
  #timer: Timer | undefined

  constructor(parts: AnchorerParts) {
    this.#parts = parts
    this.#state = new AnchorState(parts.log.durable.database)
    this.#movedNs = parts.clock.monotonicNs()
    this.#seenSize = parts.log.durable.size
    const { heads } = this.#state
    if (heads !== undefined) parts.log.seeHubHead({ size: heads.hubSize, root: heads.hubRoot })
  }

  /** Milliseconds since a head was sent that the hub then confirmed; Infinity before the first since this start. */
  get ageMs(): number {
    if (this.#confirmedNs === undefined) return Number.POSITIVE_INFINITY
    return Number(this.#parts.clock.monotonicNs() - this.#confirmedNs) / 1e6
  }

  /** Throws what was found, for ever after and over restarts, if the two logs contradict each other: that takes a person. */
  requireTrust(): void {
    const { contradiction } = this.#state
    if (contradiction !== undefined) throw contradiction
  }

  /** Ticks from now on. */
  start(): void {
    this.#timer ??= this.#parts.clock.after(this.#parts.intervalMs, () => void this.#tick())
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  /** Anchors the newest head as soon as may be; does not wait for it. */
  anchorSoon(): void {
    this.anchor().catch((error: unknown) =>
      this.#parts.logger.warn('the log could not be anchored', { error }),
    )
  }

  /** Anchors the newest head. One at a time: what is asked for meanwhile is done once, after it. */
  anchor(): Promise<void> {
    if (this.#anchoring !== undefined) {
      this.#again = true
      return this.#anchoring
    }
    this.#anchoring = this.#anchorAll().finally(() => {
      this.#anchoring = undefined
    })
    return this.#anchoring
  }

  async #anchorAll(): Promise<void> {
    do {
      this.#again = false
      await this.#anchorOnce()
    } while (this.#again)
  }

  async #tick(): Promise<void> {
    try {
      await this.#look()
    } catch (error) {
      this.#parts.logger.warn('the log could not be anchored', { error })
    }
    if (this.#timer === undefined) return
    this.#timer = undefined
    this.start()
  }

  async #look(): Promise<void> {
    const { log, clock, heartbeatMs } = this.#parts
    if (log.durable.size !== this.#seenSize) this.#noteMove()
    await this.#noteStale()
    if (Number(clock.monotonicNs() - this.#movedNs) / 1e6 >= heartbeatMs) {
      await log.append({ type: 'heartbeat', out: 'info' })
      this.#noteMove()
    }
    if (this.#moved) await this.anchor()
  }

  /** True if there are rows that the hub has not seen, besides those that say that it has seen the others. */
  get #moved(): boolean {
    return this.#parts.log.durable.size > (this.#state.heads?.ownSize ?? 0) + this.#ownRows
  }

  #noteMove(): void {
    this.#movedNs = this.#parts.clock.monotonicNs()
    this.#seenSize = this.#parts.log.durable.size
  }

  /** Said once, when it becomes so. */
  async #noteStale(): Promise<void> {
    const stale = this.#confirmedNs !== undefined && this.ageMs > this.#parts.maxAgeMs
    if (stale && !this.#stale) await this.#parts.log.append({ type: 'anchor.stale', out: 'info' })
    this.#stale = stale
  }

  async #anchorOnce(): Promise<void> {
    this.requireTrust()
    const { log, clock } = this.#parts
    const sent = log.durable.checkpoint()
    const sentNs = clock.monotonicNs()
    try {
      const response = await this.#ask(sent, this.#state.heads?.ownSize ?? 0)
      await this.#confirm(sent, response)
      this.#confirmedNs = sentNs
    } catch (error) {
      await this.#reject(sent, error)
      throw error
    }
  }

  async #ask(sent: Checkpoint, old: number, again = false): Promise<AnchorResponse> {
    const { log, ask } = this.#parts
    // Known to us, or said by the hub: more rows were confirmed than there are.
    if (old > sent.size) {
      throw new ZtError('ZT-490-TRUNCATED', 'the hub holds a larger head of this log than there is', {
        details: { size: sent.size, anchored: old },
      })
    }
    const proof = log.durable.proveConsistency(old, sent.size).map(encodeBase64url)
    const request = { checkpoint: sent.note, old, proof, hub_old: this.#state.heads?.hubSize ?? 0 }
    try {
      return await ask(request)
    } catch (error) {
      const held = isZtError(error, 'ZT-409-ANCHOR') ? error.details['size'] : undefined
      // An answer that was lost: the hub is further than we know. It must still be within what we have.
      if (typeof held !== 'number' || again) throw error
      return this.#ask(sent, held, true)
    }
  }

  async #confirm(sent: Checkpoint, response: AnchorResponse): Promise<void> {
    const { log, hub } = this.#parts
    const held = this.#state.heads
    const head = verifyConfirmation(
      hub,
      { sent, held: { size: held?.hubSize ?? 0, root: held?.hubRoot ?? '' } },
      response,
    )
    const hubHead = { size: head.size, root: encodeBase64url(head.root) }
    const obj = { size: sent.size, index: response.index, hub: { origin: head.origin, ...hubHead } }
    log.seeHubHead(hubHead)
    const before = log.durable.size
    await log.append({ type: 'anchor.confirmed', out: 'info', obj }, () =>
      this.#state.save({ ownSize: sent.size, hubSize: head.size, hubRoot: hubHead.root, hubNote: head.note }),
    )
    this.#ownRows = 1
    // Nothing else was written meanwhile: this row is no news, neither to the hub nor to the heartbeat.
    if (before === this.#seenSize) this.#seenSize = log.durable.size
  }

  async #reject(sent: Checkpoint, error: unknown): Promise<void> {
    if (!isContradiction(error)) return
    this.#state.distrust(error)
    const { log, logger } = this.#parts
    logger.error('the logs of node and hub contradict each other', { error })
    const held = this.#state.heads
    const obj = {
      sent: { size: sent.size, note_sha256: sha256Text(sent.note) },
      ...(held !== undefined && { held: { size: held.hubSize, note: held.hubNote } }),
    }
    await log.append({ type: 'anchor.rejected', out: 'error', code: error.code, obj }, () =>
      this.#state.saveContradiction(error),
    )
  }
}
