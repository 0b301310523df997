// TLS 1.3 towards a NATS server: our certificate from memory, the mesh's roots as the only authorities, and the
// server's exact SPIFFE ID. Trusts the validator; the host name proves nothing here and is not looked at.
import { constants } from 'node:crypto'
import { createSecureContext, type PeerCertificate, type SecureContext } from 'node:tls'
import type { TlsOptions } from '@nats-io/transport-node'
import { ZtError, isZtError } from '#shared/errors/error.ts'
import type { Identity } from '#shared/identity/identity.ts'
import type { SpiffeId } from '#shared/identity/spiffe-id.ts'
import { certificatesToPem } from '#shared/x509/pem.ts'
import type { SvidValidator } from '#shared/x509/svid.ts'
import type { Clock } from './clock.ts'

export interface NatsTlsOptions {
  /** who we are to NATS, with the certificate and key that TLS shows for it */
  readonly identity: Pick<Identity, 'id' | 'chain' | 'key' | 'notAfter'>
  readonly trust: SvidValidator
  /** `spiffe://<td>/nats/<id>` */
  readonly expectServer: SpiffeId
  readonly clock: Clock
}

/** What the transport hands on to tls.connect() unchanged, beyond the fields that it declares itself. */
interface NodeTls extends TlsOptions {
  readonly secureContext: SecureContext
  readonly rejectUnauthorized: true
  readonly checkServerIdentity: (host: string, certificate: PeerCertificate) => Error | undefined
}

/** Options under which a connection sends nothing to a server that is not `expectServer`. */
export function natsTls(options: NatsTlsOptions): TlsOptions {
  const tls: NodeTls = {
    // No INFO in the clear before TLS: nothing of an unverified server is parsed.
    handshakeFirst: true,
    secureContext: secureContext(options),
    rejectUnauthorized: true,
    // Node calls this before 'secureConnect', so before the transport writes its first byte. It would skip it for a
    // resumed session: none is ever offered, because tls.connect() gets no `session`.
    checkServerIdentity: (_host, certificate) => refusal(options, certificate),
  }
  return tls
}

function secureContext({ identity, trust }: NatsTlsOptions): SecureContext {
  const key = Buffer.from(identity.key.export({ format: 'pem', type: 'pkcs8' }))
  const context = createSecureContext({
    key,
    cert: certificatesToPem(identity.chain),
    ca: certificatesToPem(trust.bundle.roots.map((root) => root.der)),
    minVersion: 'TLSv1.3',
    secureOptions: constants.SSL_OP_NO_TICKET,
  })
  key.fill(0)
  return context
}

function refusal(options: NatsTlsOptions, certificate: PeerCertificate): Error | undefined {
  try {
    const { id } = options.trust.validate(chainOf(certificate), options.clock.now())
    if (id === options.expectServer) return undefined
    return new ZtError('ZT-401-CERT', 'the nats server has another identity than the expected one', {
      details: { reason: 'server-identity', server: id, expected: options.expectServer },
    })
  } catch (error) {
    return isZtError(error)
      ? error
      : new ZtError('ZT-500-INTERNAL', 'the nats server could not be checked', { cause: error })
  }
}

/** Leaf and intermediate as the server sent them; Node links them up to the root, which is its own issuer. */
function chainOf(leaf: PeerCertificate): Uint8Array[] {
  const chain: Uint8Array[] = []
  let next: (PeerCertificate & { issuerCertificate?: PeerCertificate }) | undefined = leaf
  while (next?.raw !== undefined && chain.length < 4) {
    const issuer: PeerCertificate | undefined = next.issuerCertificate
    // The root is left out: the validator has its own.
    if (chain.length > 0 && (issuer === undefined || issuer.raw.equals(next.raw))) break
    chain.push(next.raw)
    next = issuer
  }
  return chain
}
