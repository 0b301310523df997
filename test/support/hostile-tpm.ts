// A TPM on TCP that answers what a test wants it to: one command a connection, read whole.
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'

/** What to do with a command: answer these bytes in these pieces, end the connection, or say nothing for ever. */
export type HostileAnswer = Uint8Array | readonly Uint8Array[] | 'end' | 'silence'

export interface HostileTpm {
  readonly host: string
  readonly port: number
  /** commands so far */
  readonly commands: readonly Buffer[]
  /** connections that were ever made */
  connections(): number
  /** Answers late, on every connection that is still open. */
  say(bytes: Uint8Array): void
}

interface TestLike {
  after(action: () => Promise<void>): void
}

/** `answer` is asked for each command, with its number counted from 0. Closed after `test`. */
export async function hostileTpm(
  test: TestLike,
  answer: (command: Buffer, at: number) => HostileAnswer,
): Promise<HostileTpm> {
  const commands: Buffer[] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    let received = Buffer.alloc(0)
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      if (received.length < 10 || received.length < received.readUInt32BE(2)) return
      commands.push(received)
      respond(socket, answer(received, commands.length - 1))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  test.after(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  })
  const connections = (): number => sockets.size
  const say = (bytes: Uint8Array): void => {
    for (const socket of sockets) socket.write(bytes)
  }
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port, commands, connections, say }
}

function respond(socket: Socket, answer: HostileAnswer): void {
  if (answer === 'silence') return
  if (answer === 'end') {
    socket.end()
    return
  }
  const pieces = answer instanceof Uint8Array ? [answer] : answer
  for (const piece of pieces) socket.write(piece)
  socket.end()
}

/** A response with a right header: `tag`, length, `code`, and then `body`. */
export function tpmResponse(body: Uint8Array, tag: number = 0x8001, code: number = 0): Buffer {
  const header = Buffer.alloc(10)
  header.writeUInt16BE(tag, 0)
  header.writeUInt32BE(10 + body.length, 2)
  header.writeUInt32BE(code, 6)
  return Buffer.concat([header, body])
}
