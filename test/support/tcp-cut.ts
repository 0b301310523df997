// A stretch of cable: passes TCP on to a port of loopback, and can be cut for the connections of one party alone.
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

export class TcpCut {
  readonly port: number
  readonly #server: Server
  readonly #open = new Set<Socket>()
  #spared: ReadonlySet<Socket> = new Set()
  #cut = false

  private constructor(server: Server, port: number, to: number) {
    this.#server = server
    this.port = port
    server.on('connection', (near) => this.#join(near, to))
  }

  static async lay(to: number): Promise<TcpCut> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    return new TcpCut(server, typeof address === 'object' && address !== null ? address.port : 0, to)
  }

  /** Connections of this moment are not cut, whenever it is. */
  spareThese(): void {
    this.#spared = new Set(this.#open)
  }

  /** Ends the others, and refuses new ones until mend(). */
  cut(): void {
    this.#cut = true
    for (const socket of this.#open) if (!this.#spared.has(socket)) socket.destroy()
  }

  mend(): void {
    this.#cut = false
  }

  async close(): Promise<void> {
    for (const socket of this.#open) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #join(near: Socket, to: number): void {
    if (this.#cut) {
      near.destroy()
      return
    }
    const far = connect(to, '127.0.0.1')
    this.#open.add(near)
    const end = (): void => {
      this.#open.delete(near)
      near.destroy()
      far.destroy()
    }
    for (const socket of [near, far]) socket.on('error', end).on('close', end)
    near.pipe(far).pipe(near)
  }
}
