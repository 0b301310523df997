// NATS nkeys on node:crypto: Ed25519 keys whose text says what they are for and carries a checksum.
// Trusts nothing of the text it parses; a parsed public key is 32 bytes of the wanted kind, not proof of anything.
import { createPrivateKey, createPublicKey, randomBytes, sign, verify, type KeyObject } from 'node:crypto'
import { encodeBase32 } from '#shared/encoding/base32.ts'
import { ZtError } from '#shared/errors/error.ts'

export type NkeyKind = 'operator' | 'account' | 'user'

export interface Nkey {
  readonly kind: NkeyKind
  /** text form of the public half, such as `UA…` */
  readonly publicKey: string
  /** Ed25519 signature, 64 bytes. */
  sign(data: Uint8Array): Uint8Array
  /** The 32 secret bytes: for sealed storage only. */
  seed(): Uint8Array
}

// The first byte of the text form; its top five bits are the first letter: O, A, U.
const PREFIX: Readonly<Record<NkeyKind, number>> = { operator: 14 << 3, account: 0, user: 20 << 3 }
const KEY_BYTES = 32
const TEXT = /^[A-Z2-7]{56}$/
// RFC 8410 §7 and §4: what stands before the 32 bytes in PKCS#8 and in SubjectPublicKeyInfo.
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex')
const SPKI_HEAD = Buffer.from('302a300506032b6570032100', 'hex')

/** A new random key. */
export function generateNkey(kind: NkeyKind): Nkey {
  return nkeyFromSeed(kind, randomBytes(KEY_BYTES))
}

/** The key of 32 secret bytes; any other length is ZT-422-SCHEMA. The bytes are copied. */
export function nkeyFromSeed(kind: NkeyKind, seed: Uint8Array): Nkey {
  if (seed.length !== KEY_BYTES) throw new ZtError('ZT-422-SCHEMA', 'field "seed" must have 32 bytes')
  const secret = Uint8Array.from(seed)
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_HEAD, secret]), format: 'der', type: 'pkcs8' })
  return {
    kind,
    publicKey: encodePublic(kind, rawPublic(key)),
    sign: (data) => sign(null, data, key),
    seed: () => Uint8Array.from(secret),
  }
}

/** The text again if it is a public key of this kind, else ZT-422-SCHEMA naming `field`. */
export function parseNkeyPublic(text: unknown, kind: NkeyKind, field: string): string {
  if (typeof text !== 'string' || decodePublic(text, kind) === undefined) {
    throw new ZtError('ZT-422-SCHEMA', `field "${field}" is not the public nkey of ${article(kind)}`, {
      details: { field },
    })
  }
  return text
}

/** Throws ZT-401-SIG unless `signature` is one over `data` by this public key, ZT-422-SCHEMA if that is not a key. */
export function verifyNkeySignature(publicKey: string, data: Uint8Array, signature: Uint8Array): void {
  const raw = (['operator', 'account', 'user'] as const)
    .map((kind) => decodePublic(publicKey, kind))
    .find((bytes) => bytes !== undefined)
  if (raw === undefined) throw new ZtError('ZT-422-SCHEMA', 'field "publicKey" is not a public nkey')
  const key = createPublicKey({ key: Buffer.concat([SPKI_HEAD, raw]), format: 'der', type: 'spki' })
  if (!verify(null, data, key, signature)) {
    throw new ZtError('ZT-401-SIG', 'the nkey signature does not verify')
  }
}

function article(kind: NkeyKind): string {
  return kind === 'user' ? 'a user' : `an ${kind}`
}

function rawPublic(key: KeyObject): Uint8Array {
  const spki = createPublicKey(key).export({ format: 'der', type: 'spki' })
  return spki.subarray(SPKI_HEAD.length)
}

function encodePublic(kind: NkeyKind, raw: Uint8Array): string {
  const body = Buffer.concat([Uint8Array.of(PREFIX[kind]), raw])
  const sum = crc16(body)
  return encodeBase32(Buffer.concat([body, Uint8Array.of(sum & 0xff, sum >>> 8)])).toUpperCase()
}

// 1 prefix, 32 key and 2 checksum bytes are 56 characters exactly: there are no stray bits to allow.
function decodePublic(text: string, kind: NkeyKind): Uint8Array | undefined {
  if (!TEXT.test(text)) return undefined
  const bytes = decodeBase32(text)
  const body = bytes.subarray(0, -2)
  const sum = crc16(body)
  const intact = bytes.at(-2) === (sum & 0xff) && bytes.at(-1) === sum >>> 8
  return intact && body[0] === PREFIX[kind] ? body.subarray(1) : undefined
}

function decodeBase32(text: string): Uint8Array {
  const bytes = new Uint8Array(Math.floor((text.length * 5) / 8))
  let held = 0
  let bits = 0
  let at = 0
  for (const letter of text) {
    held = ((held << 5) | 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter)) & 0xfff
    bits += 5
    if (bits >= 8) {
      bits -= 8
      bytes[at++] = (held >>> bits) & 0xff
    }
  }
  return bytes
}

// CRC-16/XMODEM: polynomial 0x1021, start 0.
function crc16(bytes: Uint8Array): number {
  let crc = 0
  for (const byte of bytes) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : ((crc << 1) ^ 0x1021) & 0xffff
  }
  return crc & 0xffff
}
