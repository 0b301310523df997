// Keeps the node admitted: a new identity at half the life of the one in force, with jitter, and at once when the link
// says that the one in force is worth nothing any more. The new connection is up and subscribed before the old one is
// drained, so no command falls between them.
import { sleep, type Clock } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'
import type { Admission } from '../attest/admission.ts'
import type { Generation } from '../link/generation.ts'

export interface RenewalParts {
  readonly clock: Clock
  readonly logger: Logger
  readonly admit: () => Promise<Admission>
  /** Connects; takes no commands yet. */
  readonly open: (admission: Admission) => Promise<Generation>
  /** Puts a connected generation in the place of the one before; from its end on commands may come over it. */
  readonly adopt: (next: Generation) => Promise<void>
  /** between 0 and 1 */
  readonly random?: () => number
}

const FIRST_RETRY_MS = 500
const LONGEST_RETRY_MS = 30_000
const STEADY_NS = 5_000_000_000n
/** Commands that are under way may take a kill's grace time and more. */
const DRAIN_MS = 100_000

export class Renewals {
  readonly #parts: RenewalParts
  readonly #end = new AbortController()
  #current: Generation | undefined
  #urgent = new AbortController()
  readonly #retiring = new Set<Promise<void>>()

  constructor(parts: RenewalParts) {
    this.#parts = parts
  }

  get current(): Generation | undefined {
    return this.#current
  }

  /** Runs until close(). The first admission too is tried until it succeeds: a node outlives an absent hub. */
  async run(): Promise<void> {
    let attempts = 0
    while (!this.#end.signal.aborted) {
      try {
        await this.#renew()
        // One that is worth nothing after a moment is a try that failed: else a key that does not last would be renewed for ever.
        if (await this.#lasts()) attempts = 0
        else await this.#pause(attempts++)
      } catch (error) {
        this.#parts.logger.warn('the node could not be admitted; it tries again', { error })
        await this.#pause(attempts++)
      }
    }
  }

  /** The identity or the link in force is worth nothing any more. */
  renewNow(): void {
    this.#urgent.abort()
  }

  /** Ends renewing, lets commands under way finish, and closes. */
  async close(timeoutMs: number): Promise<void> {
    this.#end.abort()
    this.#urgent.abort()
    await this.#current?.retire(timeoutMs)
    await Promise.allSettled(this.#retiring)
  }

  async #renew(): Promise<void> {
    const { admit, open, adopt, logger } = this.#parts
    const next = await open(await admit())
    if (this.#end.signal.aborted) {
      await next.channel.close()
      return
    }
    await adopt(next)
    const before = this.#current
    this.#current = next
    // What was urgent until now was about the one before, which says so twice: refused, then closed.
    this.#urgent = new AbortController()
    this.#watch(next)
    if (before !== undefined) this.#retire(before)
    const { identity, lvl, fence } = next.admission
    logger.info('the node is admitted', { id: identity.id, not_after: identity.notAfter, lvl, fence })
  }

  #retire(before: Generation): void {
    const retiring = before
      .retire(DRAIN_MS)
      .catch((error: unknown) => this.#parts.logger.warn('a connection could not be drained', { error }))
      .finally(() => this.#retiring.delete(retiring))
    this.#retiring.add(retiring)
  }

  #watch(generation: Generation): void {
    const lost = (): void => {
      if (this.#current === generation) this.renewNow()
    }
    generation.channel.onStatus((status) => {
      if (status.kind === 'unauthorized') lost()
    })
    void generation.channel.closed.then(lost)
    void generation.admission.signing?.lost.then(lost)
  }

  /** Resolves when the next is due: true if it is for the time, or came after some seconds at least. */
  async #lasts(): Promise<boolean> {
    const { clock } = this.#parts
    const beganNs = clock.monotonicNs()
    await this.#untilNext()
    return !this.#urgent.signal.aborted || clock.monotonicNs() - beganNs >= STEADY_NS
  }

  /** Half of the life that is left, less up to a fifth of that, so that nodes that started together drift apart. */
  async #untilNext(): Promise<void> {
    const { clock, random = Math.random } = this.#parts
    const notAfter = this.#current?.admission.identity.notAfter ?? 0
    const leftMs = Math.max(0, notAfter - clock.now())
    await sleep(
      clock,
      (leftMs / 2) * (1 - random() / 5),
      AbortSignal.any([this.#urgent.signal, this.#end.signal]),
    )
  }

  #pause(attempts: number): Promise<void> {
    return sleep(this.#parts.clock, this.#retryMs(attempts), this.#end.signal)
  }

  #retryMs(attempts: number): number {
    const { random = Math.random } = this.#parts
    return Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(attempts, 10)) * (0.5 + random() / 2)
  }
}
