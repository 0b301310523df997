// The folder of a ceremony: inputs bound by their digest, outputs that never replace anything.
import { lstat, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ZtError } from '#shared/errors/error.ts'
import { createFile, isErrno } from '../keystore/private-file.ts'
import { hex } from './certify.ts'
import { refuse, type InputFile } from './file.ts'
import type { Transcript } from './transcript.ts'

export class CeremonyFolder {
  readonly #path: string
  readonly #transcript: Transcript

  constructor(path: string, transcript: Transcript) {
    this.#path = path
    this.#transcript = transcript
  }

  /** The bytes of an input, if they are those that the ceremony file means; else ZT-422-CEREMONY. */
  async read({ file, sha256 }: InputFile): Promise<Uint8Array> {
    let content: Uint8Array
    try {
      content = await readFile(join(this.#path, file))
    } catch (error) {
      throw refuse(`input "${file}" cannot be read`, error)
    }
    if (hex(content) !== sha256) throw refuse(`input "${file}" is not the file that the ceremony file names`)
    await this.#transcript.write('read', { file, sha256 })
    return content
  }

  async write(file: string, content: Uint8Array | string): Promise<void> {
    await createFile(join(this.#path, file), content, 0o644)
    await this.#transcript.write('wrote', { file, sha256: hex(Buffer.from(content)) })
  }
}

/** Throws ZT-409-EXISTS if one of `files` is there: asked before any key is touched. */
export async function requireAbsent(folder: string, files: readonly string[]): Promise<void> {
  for (const file of files) {
    if (await exists(join(folder, file)))
      throw new ZtError('ZT-409-EXISTS', `output "${file}" exists already`)
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path)
    return true
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false
    throw error
  }
}
