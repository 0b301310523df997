// Ports of loopback for programs that are told theirs before they start. Between the choice and the start lie seconds in
// which others choose too, so what was chosen is kept from them.
import { once } from 'node:events'
import { connect, createServer } from 'node:net'

/**
 * A TCP port of 127.0.0.1 on which nobody listens: `wanted`, if it is given. Whoever ends a connection first keeps its
 * address for a minute (TIME_WAIT): Linux gives such a port to nobody who asks for any, and to a server that asks for
 * this one and sets SO_REUSEADDR, as all that are started here do. Errors: EADDRINUSE.
 */
export async function freePort(wanted: number = 0): Promise<number> {
  const server = createServer((socket) => socket.end()).listen(wanted, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no free port')
  const client = connect(address.port, '127.0.0.1').resume()
  await once(client, 'close')
  server.close()
  await once(server, 'close')
  return address.port
}
