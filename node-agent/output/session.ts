// One caller's stream: what is there first, then what comes, each byte once and in order, sealed to that caller alone.
// At most `window` bytes are under way without an acknowledgement, so a slow caller costs a buffer and no more: the
// bytes wait on disk, where they are bounded.
import { isZtError } from '#shared/errors/error.ts'
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import type { Clock } from '#shared/host/clock.ts'
import {
  FrameOpener,
  FrameSealer,
  MAX_FRAME_DATA,
  type Frame,
  type StreamKeys,
} from '#shared/protocol/output-frame.ts'
import type { ExitStatus } from '#shared/protocol/results.ts'
import { untilAborted, type Bus } from '../link/bus.ts'
import type { OutputSource, SourceChunk, StreamName } from './source.ts'

export interface SessionOptions {
  readonly source: OutputSource
  readonly bus: Pick<Bus, 'publish'>
  readonly clock: Clock
  readonly keys: StreamKeys
  readonly subjects: { readonly output: string; readonly ack: string }
  /** bytes */
  readonly window: number
  readonly from: Readonly<Record<StreamName, number>>
  /** false: ends when everything that is there has been sent */
  readonly follow: boolean
}

// An idle stream says so often enough for the caller not to take it for dead. The caller answers each time: one that has
// said nothing for so long is gone, and its session is not to be kept from others.
const ALIVE_MS = 10_000
const GONE_MS = 60_000

const NOTHING = new Uint8Array()

export class OutputSession {
  readonly #options: SessionOptions
  readonly #sealer: FrameSealer
  readonly #acks: FrameOpener
  readonly #offsets: Record<StreamName, number>
  readonly #ended = new Set<StreamName>()
  readonly #stop = new AbortController()
  #sent = 0
  #consumed = 0
  #caughtUp = false
  // Monotonic milliseconds: when the caller was last heard, and when we last asked it to speak.
  #heardAt: number
  #askedAt: number
  #news = Promise.withResolvers<void>()

  constructor(options: SessionOptions) {
    this.#options = options
    const { keys, subjects } = options
    this.#sealer = new FrameSealer({ key: keys.toCaller, subject: subjects.output })
    this.#acks = new FrameOpener({ key: keys.toNode, subject: subjects.ack })
    this.#offsets = { ...options.from }
    this.#heardAt = this.#nowMs
    this.#askedAt = this.#heardAt
  }

  /**
   * Resolves when everything was sent, or the caller has let go or is gone, or stop() was called. Rejects if the source
   * fails.
   */
  async run(): Promise<void> {
    this.#heardAt = this.#nowMs
    try {
      while (!this.#stop.signal.aborted) {
        if (await this.#advance()) return
      }
    } finally {
      await this.#options.source.close()
    }
  }

  /** Something new may be there to be read. */
  wake(): void {
    this.#news.resolve()
    this.#news = Promise.withResolvers<void>()
  }

  /** Takes what came on the acknowledgement subject; what is not this caller's next word is as if it had not come. */
  acknowledge(sealed: Uint8Array): void {
    try {
      const { kind, offset } = this.#acks.open(sealed)
      this.#heardAt = this.#nowMs
      if (kind === 'close') this.stop()
      if (kind !== 'ack' || offset <= this.#consumed || offset > this.#sent) return
      this.#consumed = offset
      this.wake()
    } catch (error) {
      if (!isZtError(error)) throw error
    }
  }

  stop(): void {
    this.#stop.abort()
  }

  /** One round over both streams. True when the session has come to its end. */
  async #advance(): Promise<boolean> {
    // Taken before reading: what is written while we read is not missed.
    const news = this.#news.promise
    const { window, source } = this.#options
    if (!(await this.#isAttended())) return true
    if (this.#sent - this.#consumed >= window) return this.#rest(news)
    let moved = false
    for (const stream of source.streams) {
      if (!this.#ended.has(stream)) moved = (await this.#forward(stream)) || moved
    }
    if (this.#ended.size === source.streams.length) return this.#finish()
    if (moved) return false
    if (!this.#caughtUp) await this.#catchUp()
    if (!this.#options.follow) return true
    return this.#rest(news)
  }

  async #forward(stream: StreamName): Promise<boolean> {
    const room = this.#options.window - (this.#sent - this.#consumed)
    if (room <= 0) return true
    const chunk = await this.#options.source.read(
      stream,
      this.#offsets[stream],
      Math.min(room, MAX_FRAME_DATA),
    )
    if (chunk.gap !== undefined) await this.#send(gapFrame(stream, chunk.gap))
    if (chunk.data.length > 0) {
      this.#sent += chunk.data.length
      await this.#send({ kind: stream, offset: chunk.offset, data: chunk.data })
    }
    this.#offsets[stream] = chunk.offset + chunk.data.length
    if (chunk.end) this.#ended.add(stream)
    return hasMoved(chunk)
  }

  /** The end of the replay is said once, also to a caller who follows on. */
  async #catchUp(): Promise<void> {
    this.#caughtUp = true
    await this.#send({ kind: 'eof', offset: 0, data: NOTHING })
  }

  async #finish(): Promise<boolean> {
    if (!this.#caughtUp) await this.#catchUp()
    let over = false
    const exit = this.#options.source.exit().finally(() => {
      over = true
      this.wake()
    })
    // It is awaited below; here it only must not count as unhandled until then.
    exit.catch(() => undefined)
    for (let news = this.#news.promise; !over && !this.#stop.signal.aborted; news = this.#news.promise) {
      if (!(await this.#isAttended())) return true
      await this.#rest(news)
    }
    // The end is said when it is on record; without that there is nothing to say.
    if (over) await this.#sayExit(await exit)
    return true
  }

  async #sayExit(status: ExitStatus): Promise<void> {
    await this.#send({ kind: 'exit', offset: 0, data: canonicalBytes({ ...status }) })
  }

  /** False when the caller is gone; asks it to speak when it is time. */
  async #isAttended(): Promise<boolean> {
    const now = this.#nowMs
    if (now - this.#heardAt >= GONE_MS) return false
    if (now - this.#askedAt < ALIVE_MS) return true
    this.#askedAt = now
    await this.#send({ kind: 'alive', offset: 0, data: NOTHING })
    return true
  }

  /** Waits for `news`, but not longer than until the caller is to be asked again or counts as gone. */
  async #rest(news: Promise<void>): Promise<false> {
    const next = Math.min(this.#askedAt + ALIVE_MS, this.#heardAt + GONE_MS)
    const waitMs = Math.max(0, next - this.#nowMs)
    const timer = this.#options.clock.after(waitMs, () => this.wake())
    await untilAborted(news, this.#stop.signal)
    timer.cancel()
    return false
  }

  get #nowMs(): number {
    return Number(this.#options.clock.monotonicNs() / 1_000_000n)
  }

  async #send(frame: Frame): Promise<void> {
    await this.#options.bus.publish(
      this.#options.subjects.output,
      this.#sealer.seal(frame),
      this.#stop.signal,
    )
  }
}

function gapFrame(stream: StreamName, { from, to }: { readonly from: number; readonly to: number }): Frame {
  return { kind: 'gap', offset: from, data: canonicalBytes({ stream, from, to }) }
}

function hasMoved(chunk: SourceChunk): boolean {
  return chunk.data.length > 0 || chunk.gap !== undefined || chunk.end
}
