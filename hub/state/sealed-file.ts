// One secret on disk: sealed under the hub's sealing key, replaced whole or not at all.
import { randomBytes } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { base64urlText, object, type Parser } from '#shared/encoding/shape.ts'
import { parseStrictJson } from '#shared/encoding/strict-json.ts'
import { canonicalJson } from '#shared/encoding/canonical-json.ts'
import { ZtError } from '#shared/errors/error.ts'
import { createFile, findPrivateFile } from '#pki/keystore/private-file.ts'
import type { Seal, SealedBlob } from '#pki/keystore/seal.ts'

const MAX_SECRET_BYTES = 4 * 1024 * 1024
const MAX_FILE_BYTES = 6 * 1024 * 1024

const parseBlob: Parser<SealedBlob> = object({
  salt: base64urlText({ min: 32, max: 32 }),
  nonce: base64urlText({ min: 12, max: 12 }),
  box: base64urlText({ min: 16, max: MAX_SECRET_BYTES + 16 }),
})

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** Writes `path` whole, mode 0600; durable when this resolves. A crash leaves the old one or the new one. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const draft = join(dirname(path), `.${basename(path)}.${randomBytes(8).toString('hex')}`)
  const handle = await open(draft, 'wx', 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
    // If we crash before this the old secret stands; after it the new one does.
    await rename(draft, path)
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  } finally {
    await handle.close()
  }
  await syncFolder(dirname(path))
}

export class SealedFile {
  readonly #seal: Seal
  readonly #path: string

  constructor(seal: Seal, path: string) {
    this.#seal = seal
    this.#path = path
  }

  /** What was saved last, or undefined if nothing was. Throws ZT-500-KEYSTORE if it was changed or sealed otherwise. */
  async load(): Promise<Uint8Array | undefined> {
    const text = await findPrivateFile(this.#path, basename(this.#path), MAX_FILE_BYTES)
    if (text === undefined) return undefined
    return this.#seal.open(
      parseBlob(parseStrictJson(text, { maxBytes: MAX_FILE_BYTES }), ''),
      this.#context(),
    )
  }

  /** Resolves when the secret is durable. Rejects with ZT-503-STORE, and then the one before stands. */
  async save(secret: Uint8Array): Promise<void> {
    try {
      await replaceFile(this.#path, this.#text(secret))
    } catch (cause) {
      throw new ZtError('ZT-503-STORE', `the secret ${basename(this.#path)} could not be saved`, { cause })
    }
  }

  /** Saves the first secret. Throws ZT-409-EXISTS if there is one. */
  async create(secret: Uint8Array): Promise<void> {
    await createFile(this.#path, this.#text(secret))
  }

  // Bound to its name, so that one secret cannot be put in another's place.
  #context(): unknown {
    return { purpose: 'ztmesh-hub-secret-v1', file: basename(this.#path) }
  }

  #text(secret: Uint8Array): string {
    return `${canonicalJson(this.#seal.close(secret, this.#context()))}\n`
  }
}
