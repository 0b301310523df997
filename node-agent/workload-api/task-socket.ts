// The socket of one task. It takes few connections, and starts to speak gRPC with the first: what that takes is loaded
// then, and not by an agent none of whose tasks asks.
import { chmodSync, chownSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { geteuid } from 'node:process'
import { once } from 'node:events'
import type * as Grpc from '@grpc/grpc-js'
import { sleep, type Clock, type Timer } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'
import { RateBucket } from '../rate.ts'
import type { RunAs } from '../sandbox/sandbox.ts'

export interface TaskSocketParts {
  readonly path: string
  /** the one user that may connect */
  readonly runAs: RunAs
  readonly clock: Clock
  readonly logger: Logger
  /** `flooded` is called by what it adds to the server: see cut() */
  readonly serve: (grpc: typeof Grpc, server: Grpc.Server, flooded: () => void) => void
}

const MAX_CONNECTIONS = 8
const MAX_MESSAGE_BYTES = 64 * 1024
const STREAMS_PER_CONNECTION = 16
/** How long a task that was cut off waits for its next answer, milliseconds. */
const HOLD_MS = 1000
// What no request of the service is (pings, unknown methods) costs time too: all that is read counts, in KiB.
const READ_RATE = { burst: 512, perSecond: 64 }
const LOOK_MS = 250

type Injector = ReturnType<Grpc.Server['createConnectionInjector']>

export class TaskSocket {
  readonly #parts: TaskSocketParts
  readonly #listener: Server
  /** with what is counted of each, KiB */
  readonly #connections = new Map<Socket, number>()
  readonly #read: RateBucket
  #look: Timer | undefined
  #heldUntilNs = 0n
  #speaking: Promise<{ readonly server: Grpc.Server; readonly injector: Injector }> | undefined

  private constructor(parts: TaskSocketParts) {
    this.#parts = parts
    this.#read = new RateBucket(parts.clock, READ_RATE)
    this.#listener = createServer({ pauseOnConnect: true }, (socket) => this.#accept(socket))
    this.#listener.maxConnections = MAX_CONNECTIONS
  }

  /** Listens, in place of whatever an agent before this one left there. Rejects with the system's error. */
  static async listen(parts: TaskSocketParts): Promise<TaskSocket> {
    const socket = new TaskSocket(parts)
    const { path, runAs } = parts
    rmSync(path, { force: true })
    socket.#listener.listen(path)
    await once(socket.#listener, 'listening')
    chmodSync(path, 0o600)
    if (geteuid?.() !== runAs.uid) chownSync(path, runAs.uid, runAs.gid)
    return socket
  }

  /** Takes no more connections, and ends those that there are: after `graceMs` also those with streams that go on. */
  async close(graceMs: number): Promise<void> {
    this.#listener.close()
    this.#look?.cancel()
    const speaking = await this.#speaking?.catch(() => undefined)
    if (speaking !== undefined && graceMs > 0) await this.#drain(speaking.injector, graceMs)
    speaking?.server.forceShutdown()
    for (const connection of this.#connections.keys()) connection.destroy()
  }

  /** Lets streams that end say why. */
  async #drain(injector: Injector, graceMs: number): Promise<void> {
    const late = new AbortController()
    const closed = [...this.#connections.keys()].map((connection) => once(connection, 'close', late))
    injector.drain(graceMs)
    await Promise.race([Promise.allSettled(closed), sleep(this.#parts.clock, graceMs, late.signal)])
    late.abort()
  }

  #accept(socket: Socket): void {
    this.#connections.set(socket, 0)
    socket.on('close', () => this.#connections.delete(socket))
    socket.on('error', () => socket.destroy())
    const { clock } = this.#parts
    const heldMs = Number(this.#heldUntilNs - clock.monotonicNs()) / 1e6
    if (heldMs <= 0) return this.#serve(socket)
    // Accepted, and not read from: this costs no more than that the client waits.
    const held = clock.after(heldMs, () => this.#serve(socket))
    socket.on('close', () => held.cancel())
  }

  #serve(socket: Socket): void {
    this.#speaking ??= this.#speak()
    this.#speaking.then(
      ({ injector }) => {
        injector.injectConnection(socket)
        socket.resume()
        this.#watchReading()
      },
      (error: unknown) => {
        this.#speaking = undefined
        this.#parts.logger.error('the workload api could not be started', { error })
        socket.destroy()
      },
    )
  }

  /** Ends every connection of a task that takes too much of the agent's time; its next ones wait for a second. */
  #cut(): void {
    this.#heldUntilNs = this.#parts.clock.monotonicNs() + BigInt(HOLD_MS) * 1_000_000n
    for (const connection of this.#connections.keys()) connection.destroy()
  }

  #watchReading(): void {
    if (this.#look !== undefined) return
    this.#look = this.#parts.clock.after(LOOK_MS, () => {
      this.#look = undefined
      if (!this.#withinReading()) this.#cut()
      else if (this.#connections.size > 0) this.#watchReading()
    })
  }

  #withinReading(): boolean {
    let within = true
    for (const [socket, counted] of this.#connections) {
      const read = Math.floor(socket.bytesRead / 1024)
      this.#connections.set(socket, read)
      for (let kib = counted; kib < read && within; kib += 1) within = this.#read.take()
    }
    return within
  }

  async #speak(): Promise<{ readonly server: Grpc.Server; readonly injector: Injector }> {
    const grpc = await import('@grpc/grpc-js')
    // It would write what it traces to stderr, where an environment variable says so.
    grpc.setLogVerbosity(grpc.logVerbosity.NONE)
    const server = new grpc.Server({
      'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
      'grpc.max_concurrent_streams': STREAMS_PER_CONNECTION,
      'grpc-node.max_session_memory': 1,
      'grpc.enable_channelz': 0,
    })
    this.#parts.serve(grpc, server, () => this.#cut())
    return { server, injector: server.createConnectionInjector(grpc.ServerCredentials.createInsecure()) }
  }
}
