// Asks a TLS endpoint which certificate it serves: says whether our nats-server listens, and with which certificate.
import type { KeyObject } from 'node:crypto'
import { connect } from 'node:tls'
import { certificatesToPem } from '#shared/x509/pem.ts'

/** An SVID `/nats/<id>` of the infra CA. An Identity is one. */
export interface ServerCertificate {
  /** DER: leaf, intermediate */
  readonly chain: readonly Uint8Array[]
  readonly key: KeyObject
}

const TIMEOUT_MS = 1_000

/**
 * True if the endpoint completes a handshake with exactly the leaf of `certificate`, which is also shown as the client's
 * so that the server has nothing to complain of. Nothing else is proved, and nothing is sent.
 */
export function serves(
  endpoint: { readonly host: string; readonly port: number },
  certificate: ServerCertificate,
): Promise<boolean> {
  const [leaf] = certificate.chain
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const socket = connect({
    ...endpoint,
    key: certificate.key.export({ format: 'pem', type: 'pkcs8' }),
    cert: certificatesToPem(certificate.chain),
    // The comparison below is the whole check.
    rejectUnauthorized: false,
    minVersion: 'TLSv1.3',
    timeout: TIMEOUT_MS,
  })
  const finish = (result: boolean): void => {
    resolve(result)
    socket.destroy()
  }
  socket.once('secureConnect', () => {
    const served = socket.getPeerX509Certificate()?.raw
    finish(leaf !== undefined && served !== undefined && served.equals(leaf))
  })
  socket.once('timeout', () => finish(false))
  socket.once('close', () => finish(false))
  // A refused connection is an answer too; 'close' follows.
  socket.on('error', () => finish(false))
  return promise
}
