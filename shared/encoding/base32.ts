// RFC 4648 §6 base32 in lower case without padding: for names that must survive DNS, file systems and NATS subjects.

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567'

/** Lower-case, unpadded base32; five bits a character, the last one filled with zero bits. */
export function encodeBase32(bytes: Uint8Array): string {
  let text = ''
  let held = 0
  let bits = 0
  for (const byte of bytes) {
    held = (held << 8) | byte
    bits += 8
    for (; bits >= 5; bits -= 5) text += ALPHABET.charAt((held >>> (bits - 5)) & 31)
    held &= (1 << bits) - 1
  }
  return bits === 0 ? text : text + ALPHABET.charAt((held << (5 - bits)) & 31)
}
