// The mesh for as long as a verb needs it: a session lives for minutes, a process that is followed for days. Before the
// session ends there is a new one with a channel of its own; what reads a stream then moves to it.
import { isZtError } from '#shared/errors/error.ts'
import type { Invocation } from '../grammar/invocation.ts'
import type { Io } from '../io.ts'
import { currentContext } from './contexts.ts'
import { connectMesh, type Mesh, type MeshOptions } from './mesh.ts'
import { openSession } from './open-session.ts'
import { renewalTime } from './session.ts'
import { openSessionDir } from './session-dir.ts'
import { currentUid } from './user.ts'

const DEFAULT_TIMEOUT_MS = 10_000
const RENEWAL_RETRY_MS = 10_000
const LEAST_RENEWAL_MS = 1_000

export class LiveMesh {
  readonly #options: MeshOptions
  #current: Mesh
  // UTC, milliseconds: no renewal is tried before. One that failed, or whose session is due at once, makes no busy loop.
  #notBefore = 0
  // The broker said that it takes these credentials no more; the channel itself notices only a moment later.
  #shutOut = false

  private constructor(current: Mesh, options: MeshOptions) {
    this.#current = current
    this.#options = options
    this.#watch(current)
  }

  /** Errors: ZT-401-SESSION, ZT-412-SESSION-DIR, ZT-503-NATS, ZT-503-HUB and those of login(). */
  static async open(call: Invocation, io: Io): Promise<LiveMesh> {
    const options = meshOptions(call, io)
    return new LiveMesh(await connectMesh(await openSession(options), options), options)
  }

  get current(): Mesh {
    return this.#current
  }

  /** Milliseconds until the session is to be renewed; negative when it should have been. */
  get msToRenewal(): number {
    return Math.max(renewalTime(this.#current.session), this.#notBefore) - this.#options.clock.now()
  }

  /** A mesh with a fresh session and a channel that works; the same one if it is both. Errors: those of open(). */
  async refreshed(): Promise<Mesh> {
    const before = this.#current
    if (this.msToRenewal > 0 && this.#connected) return before
    try {
      this.#current = await connectMesh(await openSession(this.#options), this.#options)
      this.#shutOut = false
      this.#notBefore = this.#options.clock.now() + LEAST_RENEWAL_MS
      this.#watch(this.#current)
    } catch (error) {
      if (!this.#stillServes(error)) throw error
      this.#notBefore = this.#options.clock.now() + RENEWAL_RETRY_MS
      return before
    }
    await before.close()
    return this.#current
  }

  // A hub that is away for a while ends nothing that runs: 40 % of the session's life is there to be used.
  #stillServes(error: unknown): boolean {
    const { session } = this.#current
    return isZtError(error) && this.#connected && session.identity.notAfter > this.#options.clock.now()
  }

  get #connected(): boolean {
    return this.#current.channel.connected && !this.#shutOut
  }

  #watch({ channel }: Mesh): void {
    channel.onStatus((status) => {
      if (status.kind === 'unauthorized' && this.#current.channel === channel) this.#shutOut = true
    })
  }

  async close(): Promise<void> {
    await this.#current.close()
  }
}

/** Where and as whom this invocation talks. Errors: ZT-401-SESSION, ZT-412-SESSION-DIR, ZT-400-USAGE. */
export function meshOptions(call: Invocation, io: Io): MeshOptions {
  const uid = currentUid()
  return {
    context: currentContext(call, { env: io.env, uid }),
    place: { folder: openSessionDir({ env: io.env, uid }), uid },
    clock: io.clock,
    timeoutMs: call.flags.durationMs('request-timeout') ?? DEFAULT_TIMEOUT_MS,
  }
}

/** Runs `work` with the mesh, and lets go of it whatever happens. */
export async function withMesh<T>(
  given: { readonly call: Invocation; readonly io: Io },
  work: (mesh: LiveMesh) => Promise<T>,
): Promise<T> {
  const mesh = await LiveMesh.open(given.call, given.io)
  try {
    return await work(mesh)
  } finally {
    await mesh.close()
  }
}
