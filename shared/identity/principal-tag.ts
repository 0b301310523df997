// A short token that stands for a principal in NATS subjects, where a SPIFFE ID does not fit.
import { encodeBase32 } from '#shared/encoding/base32.ts'
import { sha256 } from '#shared/encoding/digest.ts'
import type { SpiffeId } from './spiffe-id.ts'

/**
 * The first 20 characters of lower-case base32(SHA-256(id)): 100 bits. It routes and limits, it never proves who
 * somebody is: that is the signature's work.
 */
export function principalTag(id: SpiffeId): string {
  return encodeBase32(sha256(id)).slice(0, 20)
}
