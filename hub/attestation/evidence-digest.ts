// The digest that ties an SVID to what was judged for it (T14): who keeps the evidence can show that it is the same. What was
// handed in and not judged is not in it.
import { createHash } from 'node:crypto'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import type { CertifiedKeyEvidence, QuoteEvidence } from './evidence.ts'

export interface JudgedEvidence {
  readonly quote: Pick<QuoteEvidence, 'attest' | 'signature'>
  readonly eventLog: Uint8Array | undefined
  readonly certified?: CertifiedKeyEvidence
  /** SHA-256 of the canonical hello, at a join: EK, its certificates, AK and the evidence of its creation */
  readonly hello: Uint8Array | undefined
}

/**
 * `sha-256:` and the digest over every part with its length before it, absent ones as empty: one text has one digest. The
 * values of the registers are in the quote.
 */
export function evidenceDigest({ quote, eventLog, certified, hello }: JudgedEvidence): string {
  const none = new Uint8Array()
  const parts = [
    hello ?? none,
    quote.attest,
    quote.signature,
    eventLog ?? none,
    certified?.public ?? none,
    certified?.attest ?? none,
    certified?.signature ?? none,
  ]
  const hash = createHash('sha256').update('ztmesh-tpm-evidence-v2\n')
  for (const part of parts) {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(part.length)
    hash.update(length).update(part)
  }
  return `sha-256:${encodeBase64url(hash.digest())}`
}
