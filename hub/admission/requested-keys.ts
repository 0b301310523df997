// The keys that a node asks certificates for: that of its SVID, and, where that one is in a TPM, that of its connection to
// the broker. TLS takes keys out of memory only, so a node that keeps its name in the TPM connects under another one.
import { decodeBase64url } from '#shared/encoding/base64url.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { AttestRequest } from '#shared/protocol/admission.ts'
import { verifyCsr, type VerifiedCsr } from '#shared/x509/csr.ts'

export interface RequestedKeys {
  readonly svid: VerifiedCsr
  readonly link?: VerifiedCsr
}

/**
 * Both with proof of possession. Throws ZT-422-CSR; ZT-422-CSR-WISH for a request that says more than its key;
 * ZT-422-LINK for a connection's key where the SVID's is not in a TPM, or that is the same key.
 */
export function requestedKeys(request: AttestRequest): RequestedKeys {
  const svid = requestedKey(request.csr, 'csr')
  if (request.link === undefined) return { svid }
  const { evidence } = request
  // Whether that key is in the TPM is for the verifier; here it is enough that the evidence claims so.
  if (evidence.type !== 'tpm' || evidence.key === undefined) throw refuse('is for a key in a TPM')
  const link = requestedKey(request.link, 'link')
  if (Buffer.compare(link.spki, svid.spki) === 0) throw refuse('must be another key')
  return { svid, link }
}

function requestedKey(csr: string, field: string): VerifiedCsr {
  const request = verifyCsr(decodeBase64url(csr, field))
  if (request.hasWishes) throw new ZtError('ZT-422-CSR-WISH', 'the request says more than its key')
  return request
}

function refuse(what: string): ZtError {
  return new ZtError('ZT-422-LINK', `field "link" ${what}`)
}
