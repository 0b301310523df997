// A TPM on TCP. Each command has a connection of its own: what comes too late, or beyond the response, dies with the connection
// and can never be taken for the answer to the next command.
import { connect, type Socket } from 'node:net'
import { MAX_TPM_BYTES } from '#shared/tpm/wire.ts'
import { announcedBytes, type TpmTransport } from './transport.ts'

export function createTcpTransport({ host, port }: { host: string; port: number }): TpmTransport {
  return {
    async exchange(command, signal) {
      const socket = connect({ host, port, signal, noDelay: true })
      try {
        return await readResponse(socket, command)
      } finally {
        socket.destroy()
      }
    },
    close: () => Promise.resolve(),
  }
}

/** Rejects on errors and on an end before the whole; with more than was announced it answers with that, to be refused. */
function readResponse(socket: Socket, command: Uint8Array): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0)
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('the connection was closed')))
    socket.on('connect', () => socket.write(command))
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      try {
        const announced = announcedBytes(received) ?? MAX_TPM_BYTES
        if (received.length >= announced) resolve(new Uint8Array(received))
      } catch (error) {
        reject(error)
      }
    })
    // A response that ends early is not a failure of the line: it is refused for what it is.
    socket.on('end', () => {
      if (received.length > 0) resolve(new Uint8Array(received))
      else reject(new Error('the TPM closed the connection without an answer'))
    })
  })
}
