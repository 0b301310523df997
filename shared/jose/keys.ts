// P-256 and X25519 keys on node:crypto: raw and DER forms in and out, and nothing of any other kind.
import { createPublicKey, diffieHellman, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { sha256Text } from '#shared/encoding/digest.ts'
import { ZtError } from '#shared/errors/error.ts'

export interface P256KeyPair {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  /** DER SubjectPublicKeyInfo */
  readonly spki: Uint8Array
}

export interface X25519KeyPair {
  readonly privateKey: KeyObject
  /** 32 raw bytes */
  readonly publicKey: Uint8Array
}

export const X25519_BYTES = 32

// RFC 8410 §4: a SubjectPublicKeyInfo of X25519 is this prefix and the 32 bytes of the key.
const X25519_SPKI_PREFIX = Buffer.from('302a300506032b656e032100', 'hex')

// RFC 5480 §2: id-ecPublicKey, secp256r1, and a bit string that begins with the mark of an uncompressed point.
const P256_SPKI_PREFIX = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex')
const P256_SPKI_BYTES = 91

export function generateP256(): P256KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { privateKey, publicKey, spki: spkiOf(publicKey) }
}

/** The key of a DER SubjectPublicKeyInfo if it is P-256, else ZT-400-MALFORMED. */
export function publicKeyFromSpki(der: Uint8Array): KeyObject {
  // One key has one accepted encoding: RFC 5480 §2.2 allows compressed points too, which would have another digest.
  const prefix = Buffer.from(der.subarray(0, P256_SPKI_PREFIX.length))
  if (der.length !== P256_SPKI_BYTES || !prefix.equals(P256_SPKI_PREFIX)) {
    throw new ZtError('ZT-400-MALFORMED', 'public key is not an uncompressed point on P-256')
  }
  return importSpki(der)
}

/** DER SubjectPublicKeyInfo of a public key. */
export function spkiOf(publicKey: KeyObject): Uint8Array {
  return publicKey.export({ type: 'spki', format: 'der' })
}

/** True if the key is an EC key on the curve of that OpenSSL name. */
export function isCurve(key: KeyObject, namedCurve: 'prime256v1' | 'secp384r1'): boolean {
  return key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === namedCurve
}

export function generateX25519(): X25519KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('x25519')
  return { privateKey, publicKey: x25519Raw(publicKey) }
}

/** 32 raw bytes as a key, else ZT-400-MALFORMED. */
export function x25519PublicKey(raw: Uint8Array): KeyObject {
  if (raw.length !== X25519_BYTES) throw new ZtError('ZT-400-MALFORMED', 'x25519 key is not 32 bytes')
  return importSpki(Buffer.concat([X25519_SPKI_PREFIX, raw]))
}

/** The 32 bytes of a public X25519 key. */
export function x25519Raw(publicKey: KeyObject): Uint8Array {
  return new Uint8Array(spkiOf(publicKey)).subarray(X25519_SPKI_PREFIX.length)
}

/**
 * The shared secret, 32 bytes. ZT-400-MALFORMED if the peer's key is one of the low-order points that make the
 * secret all zero: RFC 7748 §6.1 leaves the check to the protocol, and ours demands it.
 */
export function x25519Agree(privateKey: KeyObject, peer: Uint8Array): Uint8Array {
  const publicKey = x25519PublicKey(peer)
  try {
    return diffieHellman({ privateKey, publicKey })
  } catch (cause) {
    throw new ZtError('ZT-400-MALFORMED', 'x25519 key is not usable', { cause })
  }
}

/** base64url SHA-256 of a certificate's DER: `x5t#S256` (RFC 7515 §4.1.8). */
export function thumbprint(der: Uint8Array): string {
  return sha256Text(der)
}

function importSpki(der: Uint8Array): KeyObject {
  try {
    return createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' })
  } catch (cause) {
    throw new ZtError('ZT-400-MALFORMED', 'public key cannot be read', { cause })
  }
}
