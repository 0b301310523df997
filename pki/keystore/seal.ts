// Seals small secrets: AES-256-GCM, a key of its own for every blob. The sealing key itself lies in a header, sealed under
// a secret that a keeper has: the machine's TPM, systemd's credentials or a file. Who has the folder and not the keeper
// has nothing.
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes, scrypt } from 'node:crypto'
import { canonicalBytes } from '#shared/encoding/canonical-json.ts'
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { base64urlText, integer, object, oneOf, literal, type Parser } from '#shared/encoding/shape.ts'
import { keystoreFailed } from './keystore.ts'
import { createFile } from './private-file.ts'
import { fileKeeper, parseSealPlace, randomSecret, type SealKeeper, type SealPlace } from './seal-keeper.ts'

type Kdf = 'hkdf-sha256' | 'scrypt-n17-r8-p1'

/** What is stored beside the sealed things: how the sealing key is found again. */
export type SealHeader = DerivedHeader | WrappedHeader

/** Of the first release: the key is the secret file's, stretched; the blob proves it. */
interface DerivedHeader {
  readonly v: 1
  readonly kdf: Kdf
  readonly salt: string
  readonly check: SealedBlob
}

/** The key is a random one, sealed under what the keeper has: another keeper needs only another header. */
interface WrappedHeader {
  readonly v: 2
  readonly place: SealPlace
  readonly kdf: Kdf
  readonly salt: string
  readonly key: SealedBlob
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

const kdfField: Parser<Kdf> = oneOf(['hkdf-sha256', 'scrypt-n17-r8-p1'])
const saltField = base64urlText({ min: 32, max: 32 })

const parseDerived: Parser<DerivedHeader> = object({
  v: literal(1),
  kdf: kdfField,
  salt: saltField,
  check: parseSealedBlob,
})

const parseWrapped: Parser<WrappedHeader> = object({
  v: literal(2),
  place: parseSealPlace,
  kdf: kdfField,
  salt: saltField,
  key: parseSealedBlob,
})

export const parseSealHeader: Parser<SealHeader> = (value, path) => {
  const claimed = typeof value === 'object' && value !== null && 'v' in value ? value.v : undefined
  return integer({ min: 1, max: 2 })(claimed, 'v') === 1
    ? parseDerived(value, path)
    : parseWrapped(value, path)
}

/** How the secret of a header is kept. */
export function placeOfHeader(header: SealHeader): SealPlace {
  return header.v === 1 ? { type: 'file' } : header.place
}

// A secret that this program made says so: 256 random bits need no stretching. Anything else is a passphrase.
const RANDOM_SECRET = /^zt-seal-1:([A-Za-z0-9_-]{43})\n?$/
const MIN_PASSPHRASE_BYTES = 16
const TAG_BYTES = 16

/** Writes a new random secret to `path`, mode 0600. Throws ZT-409-EXISTS. */
export async function createSealSecret(path: string): Promise<void> {
  await createFile(path, `${randomSecret()}\n`)
}

export class Seal {
  readonly #key: Uint8Array

  private constructor(key: Uint8Array) {
    this.#key = key
  }

  /** A new sealing key, and the header to store. A path stands for the keeper of that file. */
  static async create(keeper: SealKeeper | string): Promise<{ seal: Seal; header: SealHeader }> {
    const seal = new Seal(randomBytes(32))
    return { seal, header: await seal.headerFor(keeper) }
  }

  /** The sealing key of a header. Throws ZT-500-KEYSTORE if the keeper has another secret, and what it throws. */
  static async open(keeper: SealKeeper | string, header: SealHeader): Promise<Seal> {
    const secret = await keeperFrom(keeper).find(placeOfHeader(header))
    requireLength(secret)
    const under = new Seal(await derive(secret, header))
    if (header.v === 2) return new Seal(under.open(header.key, contextOf(header)))
    const { kdf, salt, check } = header
    under.open(check, { kdf, salt })
    return under
  }

  /** Another header for the same key: what is sealed stays as it is, and opens by this keeper from now on. */
  async headerFor(keeper: SealKeeper | string): Promise<SealHeader> {
    const { place, secret } = await keeperFrom(keeper).make()
    requireLength(secret)
    const kdf: Kdf = randomPart(secret) === undefined ? 'scrypt-n17-r8-p1' : 'hkdf-sha256'
    const unsealed = { v: 2, place, kdf, salt: encodeBase64url(randomBytes(32)) } as const
    const under = new Seal(await derive(secret, unsealed))
    return { ...unsealed, key: under.close(this.#key, contextOf(unsealed)) }
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
      throw keystoreFailed('a sealed key does not open: wrong secret, or it was changed', error)
    }
  }

  #keyFor(salt: Uint8Array): Uint8Array {
    return new Uint8Array(hkdfSync('sha256', this.#key, salt, 'ztmesh seal blob v1', 32))
  }
}

const keeperFrom = (keeper: SealKeeper | string): SealKeeper =>
  typeof keeper === 'string' ? fileKeeper(keeper) : keeper

// The whole header is bound: a key that a TPM keeps does not open under a header that says it is a file's.
function contextOf({ v, place, kdf, salt }: Omit<WrappedHeader, 'key'>): unknown {
  return { purpose: 'ztmesh-seal-key-v2', v, place, kdf, salt }
}

function requireLength(secret: Uint8Array): void {
  if (secret.length < MIN_PASSPHRASE_BYTES)
    throw keystoreFailed(`the seal secret is shorter than ${MIN_PASSPHRASE_BYTES} bytes`)
}

function randomPart(secret: Uint8Array): Uint8Array | undefined {
  const text = RANDOM_SECRET.exec(Buffer.from(secret).toString('latin1'))?.[1]
  return text === undefined ? undefined : decodeBase64url(text, 'seal secret')
}

async function derive(
  secret: Uint8Array,
  header: { readonly kdf: Kdf; readonly salt: string },
): Promise<Uint8Array> {
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
