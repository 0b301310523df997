// Reads a request body up to its limit, whatever length the peer announced.
import type { IncomingMessage } from 'node:http'
import { ZtError } from '#shared/errors/error.ts'

export const MAX_BODY_BYTES: number = 64 * 1024

export interface BodyLimits {
  readonly maxBytes: number
  /** called once if the body is longer than most routes take; may throw, and nothing more is read then */
  readonly whenLarge: () => void
}

/**
 * The whole body. Throws ZT-413-SIZE over `maxBytes`, ZT-400-MALFORMED if the peer gives up in the middle, and what
 * `whenLarge` throws if that is a ZtError.
 */
export async function readBody(
  message: IncomingMessage,
  { maxBytes, whenLarge }: BodyLimits,
): Promise<Uint8Array> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of message as AsyncIterable<Buffer>) {
      const wasLarge = size > MAX_BODY_BYTES
      size += chunk.length
      if (size > maxBytes) throw new ZtError('ZT-413-SIZE', `body is over ${maxBytes} bytes`)
      if (size > MAX_BODY_BYTES && !wasLarge) whenLarge()
      chunks.push(chunk)
    }
  } catch (cause) {
    if (cause instanceof ZtError) throw cause
    throw new ZtError('ZT-400-MALFORMED', 'body ended too early', { cause })
  }
  return Buffer.concat(chunks)
}

/** Throws ZT-400-MALFORMED unless the message says that its body is of `type`, in UTF-8 or without saying more. */
export function requireContentType(message: IncomingMessage, type: string): void {
  const [media, ...parameters] = (message.headers['content-type'] ?? '').toLowerCase().split(';')
  const plain = parameters.every((parameter) => parameter.trim() === 'charset=utf-8')
  if (media?.trim() === type && plain) return
  throw new ZtError('ZT-400-MALFORMED', `content-type must be ${type}`)
}
