// The socket of one task. It takes few connections, and starts to speak gRPC with the first: what that takes is loaded
// then, and not by an agent none of whose tasks asks.
import { chmodSync, chownSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { geteuid } from 'node:process'
import { once } from 'node:events'
import type * as Grpc from '@grpc/grpc-js'
import { sleep, type Clock } from '#shared/host/clock.ts'
import type { Logger } from '#shared/host/logger.ts'
import type { RunAs } from '../sandbox/sandbox.ts'

export interface TaskSocketParts {
  readonly path: string
  /** the one user that may connect */
  readonly runAs: RunAs
  readonly clock: Clock
  readonly logger: Logger
  readonly serve: (grpc: typeof Grpc, server: Grpc.Server) => void
}

const MAX_CONNECTIONS = 16
const MAX_MESSAGE_BYTES = 64 * 1024
const STREAMS_PER_CONNECTION = 32

type Injector = ReturnType<Grpc.Server['createConnectionInjector']>

export class TaskSocket {
  readonly #parts: TaskSocketParts
  readonly #listener: Server
  readonly #connections = new Set<Socket>()
  #speaking: Promise<{ readonly server: Grpc.Server; readonly injector: Injector }> | undefined

  private constructor(parts: TaskSocketParts) {
    this.#parts = parts
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
    const speaking = await this.#speaking?.catch(() => undefined)
    if (speaking !== undefined && graceMs > 0) await this.#drain(speaking.injector, graceMs)
    speaking?.server.forceShutdown()
    for (const connection of this.#connections) connection.destroy()
  }

  /** Lets streams that end say why. */
  async #drain(injector: Injector, graceMs: number): Promise<void> {
    const late = new AbortController()
    const closed = [...this.#connections].map((connection) => once(connection, 'close', late))
    injector.drain(graceMs)
    await Promise.race([Promise.allSettled(closed), sleep(this.#parts.clock, graceMs, late.signal)])
    late.abort()
  }

  #accept(socket: Socket): void {
    this.#connections.add(socket)
    socket.on('close', () => this.#connections.delete(socket))
    socket.on('error', () => socket.destroy())
    this.#speaking ??= this.#speak()
    this.#speaking.then(
      ({ injector }) => {
        injector.injectConnection(socket)
        socket.resume()
      },
      (error: unknown) => {
        this.#parts.logger.error('the workload api could not be started', { error })
        socket.destroy()
      },
    )
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
    this.#parts.serve(grpc, server)
    return { server, injector: server.createConnectionInjector(grpc.ServerCredentials.createInsecure()) }
  }
}
