// Seals small secrets under one secret file: AES-256-GCM, a key of its own for every blob. Whoever has the secret file
// and the folder has the keys; the secret file is what must be kept apart (another disk, a TPM-sealed mount).
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes, scrypt } from 'node:crypto'
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { base64urlText, object, oneOf, literal, type Parser } from '#shared/encoding/shape.ts'
import { keystoreFailed } from './keystore.ts'
import { createFile, readPrivateFile } from './private-file.ts'

/** How the sealing key comes out of the secret file; stored beside what it seals, with a blob that proves the key. */
export interface SealHeader {
  readonly v: 1
  readonly kdf: 'hkdf-sha256' | 'scrypt-n17-r8-p1'
  readonly salt: string
  readonly check: SealedBlob
}

export interface SealedBlob {
  readonly salt: string
  readonly nonce: string
  readonly box: string
}

export const parseSealedBlob: Parser<SealedBlob> = object({
  salt: base64urlText({ min: 32, max: 32 }),
  nonce: base64urlText({ min: 12, max: 12 }),
  box: base64urlText({ min: 16, max: 4096 }),
})

export const parseSealHeader: Parser<SealHeader> = object({
  v: literal(1),
  kdf: oneOf(['hkdf-sha256', 'scrypt-n17-r8-p1']),
  salt: base64urlText({ min: 32, max: 32 }),
  check: parseSealedBlob,
})

// A secret that this program made says so: 256 random bits need no stretching. Anything else is a passphrase.
const RANDOM_SECRET = /^zt-seal-1:([A-Za-z0-9_-]{43})\n?$/
const MIN_PASSPHRASE_BYTES = 16
const CHECK_LABEL = 'ztmesh seal check'
const TAG_BYTES = 16

/** Writes a new random secret to `path`, mode 0600. Throws ZT-409-EXISTS. */
export async function createSealSecret(path: string): Promise<void> {
  await createFile(path, `zt-seal-1:${encodeBase64url(randomBytes(32))}\n`)
}

export class Seal {
  readonly #key: Uint8Array

  private constructor(key: Uint8Array) {
    this.#key = key
  }

  /** A new sealing key out of the secret file, and the header to store. */
  static async create(secretFile: string): Promise<{ seal: Seal; header: SealHeader }> {
    const secret = await readSecret(secretFile)
    const salt = encodeBase64url(randomBytes(32))
    const kdf = randomPart(secret) === undefined ? 'scrypt-n17-r8-p1' : 'hkdf-sha256'
    const seal = new Seal(await derive(secret, { kdf, salt }))
    const check = seal.close(Buffer.from(CHECK_LABEL), { kdf, salt })
    return { seal, header: { v: 1, kdf, salt, check } }
  }

  /** The sealing key of a header. Throws ZT-500-KEYSTORE if the secret file is another one. */
  static async open(secretFile: string, header: SealHeader): Promise<Seal> {
    const { kdf, salt, check } = header
    const seal = new Seal(await derive(await readSecret(secretFile), header))
    seal.open(check, { kdf, salt })
    return seal
  }

  /** Seals `plain`, bound to `context` (any JSON value). */
  close(plain: Uint8Array, context: unknown): SealedBlob {
    const salt = randomBytes(32)
    const nonce = randomBytes(12)
    const cipher = createCipheriv('aes-256-gcm', this.#keyFor(salt), nonce)
    cipher.setAAD(canonicalBytes(context))
    const box = Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()])
    return { salt: encodeBase64url(salt), nonce: encodeBase64url(nonce), box: encodeBase64url(box) }
  }

  /** What was sealed, if neither it nor `context` was changed; else ZT-500-KEYSTORE. */
  open(blob: SealedBlob, context: unknown): Uint8Array {
    const box = decodeBase64url(blob.box, 'box')
    const split = box.length - TAG_BYTES
    const key = this.#keyFor(decodeBase64url(blob.salt, 'salt'))
    try {
      const cipher = createDecipheriv('aes-256-gcm', key, decodeBase64url(blob.nonce, 'nonce'), {
        authTagLength: TAG_BYTES,
      })
      cipher.setAAD(canonicalBytes(context))
      cipher.setAuthTag(box.subarray(split))
      return Buffer.concat([cipher.update(box.subarray(0, split)), cipher.final()])
    } catch (error) {
      throw keystoreFailed('a sealed key does not open: wrong secret file, or it was changed', error)
    }
  }

  #keyFor(salt: Uint8Array): Uint8Array {
    return new Uint8Array(hkdfSync('sha256', this.#key, salt, 'ztmesh seal blob v1', 32))
  }
}

async function readSecret(path: string): Promise<Uint8Array> {
  const secret = await readPrivateFile(path, 'seal secret file', 1024)
  if (secret.length < MIN_PASSPHRASE_BYTES) {
    throw keystoreFailed(`the seal secret is shorter than ${MIN_PASSPHRASE_BYTES} bytes`)
  }
  return secret
}

function randomPart(secret: Uint8Array): Uint8Array | undefined {
  const text = RANDOM_SECRET.exec(Buffer.from(secret).toString('latin1'))?.[1]
  return text === undefined ? undefined : decodeBase64url(text, 'seal secret')
}

async function derive(secret: Uint8Array, header: Pick<SealHeader, 'kdf' | 'salt'>): Promise<Uint8Array> {
  const salt = decodeBase64url(header.salt, 'salt')
  if (header.kdf === 'scrypt-n17-r8-p1') return stretch(secret, salt)
  const random = randomPart(secret)
  if (random === undefined)
    throw keystoreFailed('the seal secret is not the random one that this folder was made with')
  return new Uint8Array(hkdfSync('sha256', random, salt, 'ztmesh seal v1', 32))
}

/** N = 2^17, r = 8: 128 MiB and about half a second, once for every start. */
function stretch(secret: Uint8Array, salt: Uint8Array): Promise<Uint8Array> {
  const cost = { N: 2 ** 17, r: 8, p: 1, maxmem: 256 * 2 ** 20 }
  return new Promise((resolve, reject) => {
    scrypt(secret, salt, 32, cost, (error, key) => {
      if (error === null) resolve(key)
      else reject(keystoreFailed('the sealing key cannot be derived', error))
    })
  })
}
