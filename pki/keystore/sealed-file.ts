// Keys as sealed files, one a key, for a hub's intermediates and for development roots. At rest they need the secret
// file; in memory this process holds them, so whoever takes the process over has them.
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  sign,
  type KeyObject,
} from 'node:crypto'
import { readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { bytes, literal, object, oneOf, string } from '#shared/encoding/shape.ts'
import { encodeBase64url } from '#shared/encoding/base64url.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import type { Parser } from '#shared/encoding/shape.ts'
import { isZtError, ZtError } from '#shared/errors/error.ts'
import { spkiOf } from '#shared/jose/keys.ts'
import type { Curve } from '#shared/x509/ec-spki.ts'
import { canonicalSignature } from '#shared/x509/ecdsa-signature.ts'
import { hashOf, requireSignature } from './ecdsa.ts'
import {
  keystoreFailed,
  labelTaken,
  requireLabel,
  type KeyRequest,
  type KeyStore,
  type StoredKey,
} from './keystore.ts'
import { createFile, findPrivateFile, privateFolder } from './private-file.ts'
import type { SealKeeper } from './seal-keeper.ts'
import { parseSealedBlob, parseSealHeader, Seal } from './seal.ts'

export interface SealedFileOptions {
  /** made if it is missing, mode 0700 */
  readonly dir: string
  /** mode 0600; see createSealSecret() */
  readonly secretFile: string
}

/** The same, its secret kept in another way than by a file. */
export interface KeptSealedOptions {
  readonly dir: string
  readonly keeper: SealKeeper
}

/** A key store that can also hand out the private key, for a signer that must not wait: the issuing hub. */
export interface SealedKeyStore extends KeyStore {
  /** The private key of `label`, in memory; ZT-404-KEY if there is none. */
  unseal(label: string): Promise<KeyObject>
}

interface OpenedKey {
  readonly curve: Curve
  readonly spki: Uint8Array
  readonly privateKey: KeyObject
}

const HEADER_FILE = 'seal.json'
const MAX_FILE_BYTES = 8192

const parseKeyFile = object({
  v: literal(1),
  label: string({ min: 1, max: 63 }),
  curve: oneOf(['P-256', 'P-384']),
  spki: bytes({ min: 91, max: 120 }),
  sealed: parseSealedBlob,
})

/**
 * Opens the folder, or makes it. Throws ZT-400-CONFIG if others can reach the folder or the secret file, and
 * ZT-500-KEYSTORE if the secret is not the one that the folder was made with.
 */
export async function openSealedKeyStore(
  options: SealedFileOptions | KeptSealedOptions,
): Promise<SealedKeyStore> {
  await privateFolder(options.dir, 'key folder')
  return new SealedFileKeyStore(options.dir, await openSeal(options))
}

class SealedFileKeyStore implements SealedKeyStore {
  readonly #dir: string
  readonly #seal: Seal
  #closed = false

  constructor(dir: string, seal: Seal) {
    this.#dir = dir
    this.#seal = seal
  }

  async generate({ label, curve }: KeyRequest): Promise<StoredKey> {
    this.#requireOpen()
    requireLabel(label)
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: curve })
    const spki = encodeBase64url(spkiOf(publicKey))
    const file = { v: 1, label, curve, spki }
    const sealed = this.#seal.close(privateKey.export({ type: 'pkcs8', format: 'der' }), file)
    try {
      await createFile(this.#path(label), JSON.stringify({ ...file, sealed }))
    } catch (error) {
      throw isZtError(error, 'ZT-409-EXISTS')
        ? labelTaken(label)
        : keystoreFailed('a key cannot be written', error)
    }
    // Out of the file again: the key that is used is the one that will be there after a restart.
    return this.#stored(label, await this.#open(label))
  }

  async find(label: string): Promise<StoredKey | undefined> {
    this.#requireOpen()
    requireLabel(label)
    const opened = await this.#find(label)
    return opened === undefined ? undefined : this.#stored(label, opened)
  }

  async destroy(label: string): Promise<void> {
    this.#requireOpen()
    requireLabel(label)
    await this.#open(label)
    await unlink(this.#path(label))
    if ((await this.#find(label)) !== undefined) throw keystoreFailed('a sealed key is there after its end')
  }

  async unseal(label: string): Promise<KeyObject> {
    this.#requireOpen()
    requireLabel(label)
    return (await this.#open(label)).privateKey
  }

  async random(count: number): Promise<Uint8Array> {
    this.#requireOpen()
    return randomBytes(count)
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  #stored(label: string, { curve, spki, privateKey }: OpenedKey): StoredKey {
    const signData = async (data: Uint8Array): Promise<Uint8Array> => {
      this.#requireOpen()
      const raw = sign(hashOf(curve), data, { key: privateKey, dsaEncoding: 'ieee-p1363' })
      const signature = canonicalSignature(raw, curve)
      requireSignature({ data, signature, key: { spki, curve } })
      return signature
    }
    return { label, curve, spki, sign: signData }
  }

  async #open(label: string): Promise<OpenedKey> {
    const opened = await this.#find(label)
    if (opened === undefined) throw new ZtError('ZT-404-KEY', `there is no key of label "${label}"`)
    return opened
  }

  async #find(label: string): Promise<OpenedKey | undefined> {
    const content = await findPrivateFile(this.#path(label), 'sealed key file', MAX_FILE_BYTES)
    if (content === undefined) return undefined
    const { sealed, ...file } = parseStored(content, parseKeyFile)
    if (file.label !== label) throw keystoreFailed('a sealed key file has the name of another key')
    const der = this.#seal.open(sealed, { ...file, spki: encodeBase64url(file.spki) })
    const privateKey = createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' })
    if (Buffer.compare(spkiOf(createPublicKey(privateKey)), file.spki) !== 0) {
      throw keystoreFailed('a sealed key does not belong to the public key beside it')
    }
    return { curve: file.curve, spki: file.spki, privateKey }
  }

  #path(label: string): string {
    return join(this.#dir, `${label}.key`)
  }

  #requireOpen(): void {
    if (this.#closed) throw keystoreFailed('it is closed')
  }
}

async function openSeal(options: SealedFileOptions | KeptSealedOptions): Promise<Seal> {
  const { dir } = options
  const keeper = 'keeper' in options ? options.keeper : options.secretFile
  const path = join(dir, HEADER_FILE)
  const content = await findPrivateFile(path, 'seal header', MAX_FILE_BYTES)
  if (content !== undefined) return Seal.open(keeper, parseStored(content, parseSealHeader))
  // A folder with keys had a header: a new one would hide that they cannot be opened any more.
  if ((await readdir(dir)).some((name) => name.endsWith('.key')))
    throw keystoreFailed('the seal header is missing')
  const { seal, header } = await Seal.create(keeper)
  await createFile(path, JSON.stringify(header))
  return seal
}

function parseStored<T>(content: Uint8Array, parse: Parser<T>): T {
  try {
    return parse(parseStrictJson(content, { maxBytes: MAX_FILE_BYTES }), '')
  } catch (error) {
    throw keystoreFailed('a file of the key folder is damaged', error)
  }
}
