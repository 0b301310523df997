// The keeper's unix socket. Whoever can open it is the agent: it lies in a folder that admits this user only. One
// broken line ends the connection; the processes stay.
import { createServer, type Server, type Socket } from 'node:net'
import { isZtError, toWireError } from '#shared/errors/error.ts'
import type { Keeper } from './keeper.ts'
import { JsonLines } from './lines.ts'
import {
  KEEPER_PROTOCOL,
  MAX_REQUEST_BYTES,
  parseCall,
  type KeeperEvent,
  type KeeperMessage,
  type KeeperRequest,
} from './protocol.ts'

export interface KeeperServerOptions {
  readonly keeper: Keeper
  readonly boot: string
  readonly onConnections: (count: number) => void
  readonly onShutdown: () => void
  readonly onFault: (what: string, cause: unknown) => void
}

// An agent that does not read loses its connection, not its processes: it asks again when it is back.
const MAX_UNSENT_BYTES = 32 * 1024 * 1024

export class KeeperServer {
  readonly #options: KeeperServerOptions
  readonly #connections = new Set<Connection>()
  readonly #server: Server

  constructor(options: KeeperServerOptions) {
    this.#options = options
    this.#server = createServer((socket) => this.#accept(socket))
  }

  /** The socket is made under a umask that leaves it to this user from its first moment. */
  listen(path: string): Promise<void> {
    const umask = process.umask(0o177)
    return new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen(path, resolve)
    }).finally(() => process.umask(umask))
  }

  broadcast(event: KeeperEvent): void {
    for (const connection of this.#connections) connection.event(event)
  }

  /** Resolves when everything that was said has been sent, or its connection is gone. */
  async close(): Promise<void> {
    this.#server.close()
    await Promise.all([...this.#connections].map((connection) => connection.close()))
  }

  #accept(socket: Socket): void {
    const connection = new Connection(socket, this.#options)
    this.#connections.add(connection)
    this.#options.onConnections(this.#connections.size)
    socket.once('close', () => {
      this.#connections.delete(connection)
      this.#options.keeper.releaseAll(connection)
      this.#options.onConnections(this.#connections.size)
    })
  }
}

class Connection {
  readonly #socket: Socket
  readonly #options: KeeperServerOptions
  readonly #lines = new JsonLines(MAX_REQUEST_BYTES)
  /** the latest size of each stream that was not told yet; one event says as much as many */
  readonly #grown = new Map<string, KeeperEvent>()
  readonly #gone = new AbortController()
  #telling = false

  constructor(socket: Socket, options: KeeperServerOptions) {
    this.#socket = socket
    this.#options = options
    socket.on('data', (chunk) => this.#receive(chunk))
    socket.once('close', () => this.#gone.abort())
    // Ends in 'close', which releases what this connection held.
    socket.on('error', () => socket.destroy())
    this.#send({ type: 'hello', v: KEEPER_PROTOCOL, pid: process.pid, boot: options.boot })
  }

  event(event: KeeperEvent): void {
    if (event.event !== 'output') {
      this.#tellGrown()
      this.#send({ type: 'event', event })
      return
    }
    this.#grown.set(`${event.proc} ${event.stream}`, event)
    if (this.#telling) return
    this.#telling = true
    setImmediate(() => this.#tellGrown())
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#socket.once('close', () => resolve())
      this.#socket.end(() => this.#socket.destroy())
    })
  }

  #tellGrown(): void {
    this.#telling = false
    for (const event of this.#grown.values()) this.#send({ type: 'event', event })
    this.#grown.clear()
  }

  #receive(chunk: Buffer): void {
    try {
      for (const value of this.#lines.push(chunk)) {
        const { id, request } = parseCall(value)
        void this.#answer(id, request)
      }
    } catch (cause) {
      this.#options.onFault('a line of the agent cannot be read', cause)
      this.#socket.destroy()
    }
  }

  async #answer(id: number, request: KeeperRequest): Promise<void> {
    try {
      this.#send({ type: 'result', id, value: await this.#run(request) })
    } catch (cause) {
      if (!isZtError(cause)) this.#options.onFault('a request failed', cause)
      const { code, message, details } = toWireError(cause, String(id))
      this.#send({
        type: 'fault',
        id,
        error: details === undefined ? { code, message } : { code, message, details },
      })
    }
  }

  async #run(request: KeeperRequest): Promise<unknown> {
    const { keeper } = this.#options
    switch (request.op) {
      case 'prepare': {
        const { op: _, ...rest } = request
        return keeper.prepare(this, rest, this.#gone.signal)
      }
      case 'start':
        return keeper.start(this, request)
      case 'release':
        keeper.release(this, request.handle)
        return null
      case 'list':
        return keeper.list(request.all)
      case 'inspect':
        return keeper.inspect(request.proc)
      case 'kill':
        return keeper.kill(request)
      case 'shutdown':
        this.#options.onShutdown()
        return null
    }
  }

  #send(message: KeeperMessage): void {
    if (this.#socket.destroyed) return
    this.#socket.write(`${JSON.stringify(message)}\n`)
    if (this.#socket.writableLength > MAX_UNSENT_BYTES) this.#socket.destroy()
  }
}
