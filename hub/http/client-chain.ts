// The certificates that a client sent in the handshake, which proved that it holds the leaf's key (RFC 8446 §4.4.3).
// What they prove beyond that is for the SvidValidator, on every request.
import type { DetailedPeerCertificate, TLSSocket } from 'node:tls'
import { ZtError } from '#shared/errors/error.ts'

const chains = new WeakMap<TLSSocket, readonly Uint8Array[]>()

function readChain(socket: TLSSocket): readonly Uint8Array[] {
  const leaf = socket.getPeerCertificate(true) as Partial<DetailedPeerCertificate>
  const intermediate = leaf.issuerCertificate
  // Node builds the issuer links itself; an SVID's chain is a leaf and one intermediate, never a self-signed leaf.
  if (leaf.raw === undefined || intermediate?.raw === undefined || intermediate === leaf) return []
  return [leaf.raw, intermediate.raw]
}

/** DER of leaf and intermediate. Throws ZT-401-CERT if the client sent none. */
export function clientChain(socket: TLSSocket): readonly Uint8Array[] {
  let chain = chains.get(socket)
  if (chain === undefined) {
    chain = readChain(socket)
    chains.set(socket, chain)
  }
  if (chain.length > 0) return chain
  throw new ZtError('ZT-401-CERT', 'this needs a client certificate', {
    details: { reason: 'no-client-certificate' },
  })
}
