// How a ladder's response travels to the hub in one request: deflated, because thirty rungs as they are would not fit
// into an envelope. What comes out is bounded before it is read; the hub then verifies every byte of it.
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { base64urlText, type Parser } from '#shared/encoding/shape.ts'
import { ZtError } from '#shared/errors/error.ts'

/** Bytes of a response's file, at most. */
export const MAX_LADDER_BYTES: number = 64 * 1024
const MAX_DEFLATED_BYTES = 32 * 1024

/** Shape of the parameter alone. */
export const deflatedField: Parser<string> = base64urlText({ min: 1, max: MAX_DEFLATED_BYTES })

/** ZT-413-SIZE for a file that no ladder can be, or that does not fit into one request. */
export function deflateLadder(content: Uint8Array): string {
  if (content.length > MAX_LADDER_BYTES) throw tooLarge()
  const deflated = deflateRawSync(content, { level: 9 })
  if (deflated.length > MAX_DEFLATED_BYTES) throw tooLarge()
  return encodeBase64url(deflated)
}

/** ZT-400-MALFORMED for other bytes, ZT-413-SIZE for what becomes too much; never more memory than that. */
export function inflateLadder(text: string): Uint8Array {
  const deflated = decodeBase64url(text, 'response')
  try {
    return inflateRawSync(deflated, { maxOutputLength: MAX_LADDER_BYTES })
  } catch (cause) {
    if (cause instanceof RangeError) throw tooLarge(cause)
    throw new ZtError('ZT-400-MALFORMED', 'field "response" is not deflated', { cause })
  }
}

function tooLarge(cause?: unknown): ZtError {
  return new ZtError('ZT-413-SIZE', `a ladder response has at most ${MAX_LADDER_BYTES} bytes`, { cause })
}
