// Follows one process over lost frames, lost links and ended sessions: output comes in order, each byte once, and a
// piece that the node no longer has is named. A stream that breaks is asked for again from the offset that is held.
import { object, integer, oneOf, type Parser } from '#shared/encoding/shape.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { sleep, type Clock } from '#shared/host/clock.ts'
import type { ProcId } from '#shared/identity/names.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import type { Frame } from '#shared/protocol/output-frame.ts'
import { exitStatusField, type ExitStatus } from '#shared/protocol/results.ts'
import type { LiveMesh } from './live-mesh.ts'
import { nodeName } from './mesh.ts'
import { OutputStream } from './output-stream.ts'

export type StreamName = 'stdout' | 'stderr'

export interface OutputSink {
  /** Resolves when the bytes have left: that is what the node waits for. */
  data(stream: StreamName, bytes: Uint8Array): Promise<void>
  /** All that was there when the following began has been handed over. */
  replayed(): Promise<void>
  /** A remark for the person, not part of the output. */
  remark(text: string): void
}

export interface FollowTarget {
  readonly node: SpiffeId
  readonly proc: ProcId
  readonly started: number
}

export interface FollowOptions {
  readonly mesh: Pick<LiveMesh, 'current' | 'msToRenewal' | 'refreshed'>
  readonly target: FollowTarget
  readonly sink: OutputSink
  readonly clock: Clock
  /** until the process ends; else until all that there is has been replayed */
  readonly follow: boolean
  /** ends the following, and nothing else */
  readonly stop: AbortSignal
}

/** Output that nobody can have any more, in bytes. */
export type MissingBytes = Readonly<Record<StreamName, number>>

export type Ending =
  | { readonly kind: 'exit'; readonly status: ExitStatus; readonly missing?: MissingBytes }
  | { readonly kind: 'replayed'; readonly missing?: MissingBytes }
  | { readonly kind: 'stopped' }

interface Gap {
  readonly stream: StreamName
  readonly from: number
  readonly to: number
}

// A node agent that was killed says nothing more: after this silence the stream is asked for again, and later and
// later while that brings nothing new.
const SILENCE_MS = 15_000
const LONGEST_SILENCE_MS = 60_000
const GIVE_UP_MS = 60_000
const FIRST_RETRY_MS = 250
const LONGEST_RETRY_MS = 4_000
const EXIT_BYTES = 4096

// What passes by itself: who is away comes back, or a fresh capability helps.
const PASSING: ReadonlySet<string> = new Set([
  'ZT-503-NODE',
  'ZT-503-HUB',
  'ZT-503-NATS',
  'ZT-503-ANCHOR',
  'ZT-504-TIMEOUT',
  'ZT-504-OUTCOME-UNKNOWN',
  'ZT-401-TOKEN',
  'ZT-408-STALE',
  'ZT-412-POLICY-STALE',
])

const parseGap: Parser<Gap> = object({
  stream: oneOf(['stdout', 'stderr']),
  from: integer({ min: 0 }),
  to: integer({ min: 0 }),
})

export class Follower {
  readonly #options: FollowOptions
  readonly #offsets: Record<StreamName, number> = { stdout: 0, stderr: 0 }
  readonly #missing: Record<StreamName, number> = { stdout: 0, stderr: 0 }
  #silenceMs = SILENCE_MS
  #replayed = false

  constructor(options: FollowOptions) {
    this.#options = options
  }

  /**
   * Follows from `first`, a stream that is active, or from the beginning of the log. Errors: ZT-504-OUTCOME-UNKNOWN when
   * the node cannot be reached for a minute; ZT-404-PROC when it no longer knows the process.
   */
  async run(first?: OutputStream): Promise<Ending> {
    let stream = first ?? (await this.#attach())
    for (;;) {
      try {
        const ending = await this.#read(stream)
        if (ending !== undefined) return ending
      } finally {
        stream.close()
      }
      const again = await this.#attachAgain()
      if (again === undefined) return { kind: 'stopped' }
      stream = again
    }
  }

  // Reads until the end (an Ending) or until the stream is to be asked for again (undefined).
  async #read(stream: OutputStream): Promise<Ending | undefined> {
    for (;;) {
      const event = await this.#next(stream)
      if (this.#options.stop.aborted) return { kind: 'stopped' }
      if (event === undefined || event.kind === 'lost') return undefined
      const outcome = await this.#take(event.frame, stream)
      if (outcome === 'again') return undefined
      if (outcome !== 'more') return outcome
    }
  }

  async #next(stream: OutputStream): ReturnType<OutputStream['next']> {
    const { clock, mesh, stop } = this.#options
    const over = new AbortController()
    const end = (): void => over.abort()
    const timer = clock.after(Math.max(0, Math.min(this.#silenceMs, mesh.msToRenewal)), end)
    const unlisten = mesh.current.channel.onStatus((status) => {
      // Frames that were sent meanwhile are gone; or the broker lets us in no more, and a login will say why.
      if (status.kind === 'connected' || status.kind === 'unauthorized') end()
    })
    void mesh.current.channel.closed.then(end)
    stop.addEventListener('abort', end, { once: true })
    try {
      return await stream.next(over.signal)
    } finally {
      timer.cancel()
      unlisten()
      stop.removeEventListener('abort', end)
    }
  }

  async #take(frame: Frame, stream: OutputStream): Promise<Ending | 'more' | 'again'> {
    switch (frame.kind) {
      case 'stdout':
      case 'stderr':
        return this.#takeData(frame.kind, frame, stream)
      case 'gap':
        this.#takeGap(frame.data)
        return 'more'
      case 'eof':
        return this.#takeEndOfReplay()
      case 'exit':
        return { kind: 'exit', status: readExit(frame.data), ...this.#loss() }
      case 'alive':
        this.#silenceMs = SILENCE_MS
        return 'more'
      case 'ack':
      case 'close':
        return 'more'
    }
  }

  async #takeData(
    name: StreamName,
    { offset, data }: Frame,
    stream: OutputStream,
  ): Promise<'more' | 'again'> {
    const expected = this.#offsets[name]
    if (offset > expected) return 'again'
    const fresh = data.subarray(Math.min(data.length, expected - offset))
    if (fresh.length > 0) {
      await this.#options.sink.data(name, fresh)
      this.#offsets[name] = expected + fresh.length
      this.#silenceMs = SILENCE_MS
    }
    stream.consumed(data.length)
    return 'more'
  }

  #takeGap(data: Uint8Array): void {
    const { stream, from, to } = parseGap(parseStrictJson(data, { maxBytes: EXIT_BYTES }), 'gap')
    const missing = to - Math.max(from, this.#offsets[stream])
    if (missing <= 0) return
    this.#options.sink.remark(`${missing} bytes of ${stream} are no longer kept by the node`)
    this.#offsets[stream] = to
    this.#missing[stream] += missing
  }

  async #takeEndOfReplay(): Promise<Ending | 'more'> {
    if (!this.#replayed) {
      this.#replayed = true
      await this.#options.sink.replayed()
    }
    return this.#options.follow ? 'more' : { kind: 'replayed', ...this.#loss() }
  }

  #loss(): { missing?: MissingBytes } {
    const { stdout, stderr } = this.#missing
    return stdout + stderr === 0 ? {} : { missing: { stdout, stderr } }
  }

  async #attach(): Promise<OutputStream> {
    const { mesh, target, follow } = this.#options
    const current = await mesh.refreshed()
    const stream = new OutputStream(current, target)
    try {
      const { result, jti } = await current.command({
        v: 1,
        op: 'process.watch',
        ...target,
        from: { ...this.#offsets },
        follow,
        out: stream.request,
      })
      stream.activate(result.out, jti)
      return stream
    } catch (error) {
      stream.close()
      throw error
    }
  }

  async #attachAgain(): Promise<OutputStream | undefined> {
    const { clock, stop, target } = this.#options
    this.#silenceMs = Math.min(2 * this.#silenceMs, LONGEST_SILENCE_MS)
    const end = clock.monotonicNs() + BigInt(GIVE_UP_MS) * 1_000_000n
    for (let waitMs = FIRST_RETRY_MS; ; waitMs = Math.min(2 * waitMs, LONGEST_RETRY_MS)) {
      try {
        return await this.#attach()
      } catch (error) {
        if (!isZtError(error) || !PASSING.has(error.code)) throw error
        if (clock.monotonicNs() >= end) throw linkLost(target, error)
      }
      await sleep(clock, waitMs, stop)
      if (stop.aborted) return undefined
    }
  }
}

function readExit(data: Uint8Array): ExitStatus {
  return exitStatusField(parseStrictJson(data, { maxBytes: EXIT_BYTES }), 'exit')
}

function linkLost({ node, proc }: FollowTarget, cause: unknown): ZtError {
  const name = `${nodeName(node)}/${proc}`
  return new ZtError('ZT-504-OUTCOME-UNKNOWN', `the link was lost while ${name} was running`, {
    cause,
    details: { hint: `it goes on without ztctl; attach again with: ztctl logs -f ${name}`, proc },
  })
}
