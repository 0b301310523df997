// SHA-256 and constant-time comparison, in the forms that the rest of shared/ uses.
import { hash, timingSafeEqual } from 'node:crypto'
import { encodeBase64url } from './base64url.ts'

/** SHA-256 of bytes, or of the UTF-8 form of text. */
export function sha256(data: Uint8Array | string): Uint8Array {
  return hash('sha256', data, 'buffer')
}

/** SHA-256 as unpadded base64url: 43 characters. */
export function sha256Text(data: Uint8Array | string): string {
  return encodeBase64url(sha256(data))
}

/** True if both hold the same bytes; takes the same time wherever equally long inputs differ. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}
