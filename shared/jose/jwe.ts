// Compact JWE (RFC 7516) of one shape: ECDH-ES over X25519 (RFC 8037 §3.2) with A256GCM. It hides; it does not say who
// sealed, which is why what it carries is a JWS. Every failure to open a well-formed text reads the same.
import { createCipheriv, createDecipheriv, randomBytes, type KeyObject } from 'node:crypto'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { sha256 } from '#shared/encoding/digest.ts'
import { base64urlText, literal, object, string, type Parser } from '#shared/encoding/shape.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { generateX25519, x25519Agree, X25519_BYTES } from './keys.ts'

export interface SealOptions {
  readonly kid: string
  /** 32 raw bytes */
  readonly publicKey: Uint8Array
  readonly typ: string
  readonly cty: string
}

export interface OpenOptions {
  readonly typ: string
  readonly cty: string
  readonly maxBytes: number
  /** the private X25519 key of that id, or undefined if it is not held */
  readonly key: (kid: string) => KeyObject | undefined
}

export interface OpenedJwe {
  readonly plaintext: Uint8Array
  readonly kid: string
}

interface JweHeader {
  readonly alg: 'ECDH-ES'
  readonly enc: 'A256GCM'
  readonly typ: string
  readonly cty: string
  readonly kid: string
  readonly epk: { readonly kty: 'OKP'; readonly crv: 'X25519'; readonly x: string }
}

const CIPHER = 'aes-256-gcm'
const IV_BYTES = 12
const TAG_BYTES = 16
const MAX_HEADER_BYTES = 1024

// RFC 7518 §4.6.2: what follows Z in the one round of the KDF: AlgorithmID, PartyUInfo and PartyVInfo (both empty),
// SuppPubInfo (256 bits), each length-prefixed where the section says so.
const ROUND = u32(1)
const OTHER_INFO = Buffer.concat([u32(7), Buffer.from('A256GCM', 'ascii'), u32(0), u32(0), u32(256)])

const mediaType = string({ min: 1, max: 64 })

const parseHeader: Parser<JweHeader> = object({
  alg: literal('ECDH-ES'),
  enc: literal('A256GCM'),
  typ: mediaType,
  cty: mediaType,
  kid: string({ max: 64, pattern: /^[A-Za-z0-9._-]+$/ }),
  epk: object({
    kty: literal('OKP'),
    crv: literal('X25519'),
    x: base64urlText({ min: X25519_BYTES, max: X25519_BYTES }),
  }),
})

/** Seals to the holder of `publicKey` under a fresh ephemeral key, so no two texts share a content key. */
export function sealJwe(plaintext: Uint8Array, to: SealOptions): string {
  const ephemeral = generateX25519()
  const header: JweHeader = {
    alg: 'ECDH-ES',
    enc: 'A256GCM',
    typ: to.typ,
    cty: to.cty,
    kid: to.kid,
    epk: { kty: 'OKP', crv: 'X25519', x: encodeBase64url(ephemeral.publicKey) },
  }
  const protectedPart = encodeBase64url(Buffer.from(JSON.stringify(header)))
  const iv = randomBytes(IV_BYTES)
  const cipher = createCipheriv(CIPHER, contentKey(ephemeral.privateKey, to.publicKey), iv)
  cipher.setAAD(Buffer.from(protectedPart, 'ascii'))
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()])
  const parts = [iv, ciphertext, cipher.getAuthTag()].map((part) => encodeBase64url(part))
  return `${protectedPart}..${parts.join('.')}`
}

/**
 * Opens a compact JWE. ZT-400-MALFORMED for a wrong shape, another type or content type, and for every failure to
 * decrypt (one message, so that nobody learns which step failed); ZT-400-KID for a key id that is not held.
 */
export function openJwe(text: string, expected: OpenOptions): OpenedJwe {
  if (text.length > expected.maxBytes) throw refuse(`larger than ${expected.maxBytes} bytes`)
  const [protectedPart, encryptedKey, ...parts] = text.split('.')
  if (protectedPart === undefined || parts.length !== 3) throw refuse('not five parts')
  // RFC 7518 §4.6: with direct agreement the encrypted key is empty.
  if (encryptedKey !== '') throw refuse('encrypted key is not empty')
  const header = readHeader(protectedPart)
  if (header.typ !== expected.typ || header.cty !== expected.cty)
    throw refuse(`not a ${expected.cty} message`)
  const [iv = EMPTY, ciphertext = EMPTY, tag = EMPTY] = parts.map((part) => decodeBase64url(part, 'jwe'))
  if (iv.length !== IV_BYTES || tag.length !== TAG_BYTES) throw refuse('iv or tag has the wrong length')
  const key = expected.key(header.kid)
  if (key === undefined) throw new ZtError('ZT-400-KID', 'sealed to an encryption key that is not held')
  const aad = Buffer.from(protectedPart, 'ascii')
  return { plaintext: decrypt({ key, epk: header.epk.x, aad, iv, ciphertext, tag }), kid: header.kid }
}

const EMPTY = new Uint8Array()

interface Sealed {
  readonly key: KeyObject
  readonly epk: string
  readonly aad: Uint8Array
  readonly iv: Uint8Array
  readonly ciphertext: Uint8Array
  readonly tag: Uint8Array
}

function decrypt(sealed: Sealed): Uint8Array {
  try {
    const secret = contentKey(sealed.key, decodeBase64url(sealed.epk, 'epk'))
    const decipher = createDecipheriv(CIPHER, secret, sealed.iv, { authTagLength: TAG_BYTES })
    decipher.setAAD(sealed.aad).setAuthTag(sealed.tag)
    return Buffer.concat([decipher.update(sealed.ciphertext), decipher.final()])
  } catch (cause) {
    throw new ZtError('ZT-400-MALFORMED', 'jwe: cannot be opened', { cause })
  }
}

/** RFC 7518 §4.6.2: one round of the Concat KDF gives the 256 bits of the content key. */
function contentKey(privateKey: KeyObject, peer: Uint8Array): Uint8Array {
  return sha256(Buffer.concat([ROUND, x25519Agree(privateKey, peer), OTHER_INFO]))
}

function readHeader(part: string): JweHeader {
  const json = decodeBase64url(part, 'protected header')
  try {
    return parseHeader(parseStrictJson(json, { maxBytes: MAX_HEADER_BYTES, maxDepth: 2 }), '')
  } catch (cause) {
    if (!isZtError(cause)) throw cause
    throw new ZtError('ZT-400-MALFORMED', `jwe header: ${cause.message}`, { cause })
  }
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

function refuse(what: string): ZtError {
  return new ZtError('ZT-400-MALFORMED', `jwe: ${what}`)
}
