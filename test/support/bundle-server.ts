// A bundle endpoint of somebody else, in the test's own process: any certificate, any answer, and a count of what was asked.
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { TestContext } from 'node:test'
import { certificatesToPem } from '#shared/x509/pem.ts'
import type { ForeignCertificate } from './foreign-pki.ts'

export interface BundleServer {
  readonly port: number
  readonly url: URL
  /** paths that were asked for, in order */
  readonly asked: string[]
  /** what answers; 200 with `body` unless a test says otherwise */
  answer: (message: IncomingMessage, response: ServerResponse) => void
  body: string | Uint8Array
}

/** Listens on 127.0.0.1 with `chain`, leaf first, until the test ends. */
export async function startBundleServer(
  t: TestContext,
  chain: readonly Pick<ForeignCertificate, 'der' | 'key'>[],
): Promise<BundleServer> {
  const [leaf] = chain
  if (leaf === undefined) throw new Error('a server needs a certificate')
  const asked: string[] = []
  const server = createServer(
    {
      cert: certificatesToPem(chain.map((one) => one.der)),
      key: leaf.key.export({ type: 'pkcs8', format: 'pem' }),
    },
    (message, response) => {
      asked.push(message.url ?? '')
      made.answer(message, response)
    },
  )
  server.on('tlsClientError', () => undefined)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const made: BundleServer = {
    port,
    url: new URL(`https://localhost:${port}/bundle.json`),
    asked,
    body: '{"keys":[]}',
    answer: (_message, response) => {
      response.setHeader('content-type', 'application/json')
      response.end(made.body)
    },
  }
  return made
}
