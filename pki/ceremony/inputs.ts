// What a ceremony reads: every file that its file names, whole and in memory before anything else happens, each the one
// that was reviewed.
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { isErrno } from '../keystore/private-file.ts'
import { hex } from './certify.ts'
import { refuse, type InputFile } from './fields.ts'
import { SIGNATURES } from './signatures.ts'

const MAX_BYTES = 2 * 1024 * 1024

export class Inputs {
  readonly #contents = new Map<string, Uint8Array>()
  readonly #signatures = new Map<string, string>()

  /** Reads `files` in `folder`. Throws ZT-422-CEREMONY naming the one that is missing or is not that of its digest. */
  static async read(folder: string, files: readonly InputFile[]): Promise<Inputs> {
    const inputs = new Inputs()
    for (const { file, sha256 } of files) {
      const content = await readInput(folder, file)
      if (content === undefined) throw refuse(`input "${file}" is missing`)
      if (hex(content) !== sha256)
        throw refuse(`input "${file}" is not the file that the ceremony file names`)
      inputs.#contents.set(file, content)
      const note = await readInput(folder, `${file}${SIGNATURES}`)
      if (note !== undefined) inputs.#signatures.set(file, Buffer.from(note).toString('utf8'))
    }
    return inputs
  }

  bytes({ file }: InputFile): Uint8Array {
    const content = this.#contents.get(file)
    if (content === undefined) throw refuse(`input "${file}" was not read`)
    return content
  }

  text(input: InputFile): string {
    return Buffer.from(this.bytes(input)).toString('utf8')
  }

  /** The signatures beside a transcript; ZT-422-CEREMONY if there are none. */
  signatures({ file }: InputFile): string {
    const note = this.#signatures.get(file)
    if (note === undefined)
      throw refuse(`transcript "${file}" is not signed: "${file}${SIGNATURES}" is missing`)
    return note
  }
}

/** The bytes of a file of the folder, or undefined if there is none. Throws ZT-422-CEREMONY for one that is too large. */
export async function readInput(folder: string, file: string): Promise<Uint8Array | undefined> {
  const handle = await openInput(folder, file)
  if (handle === undefined) return undefined
  try {
    const buffer = new Uint8Array(MAX_BYTES + 1)
    let length = 0
    for (;;) {
      const { bytesRead } = await handle.read(buffer, length, buffer.length - length, length)
      length += bytesRead
      if (length > MAX_BYTES) throw refuse(`file "${file}" is over ${MAX_BYTES} bytes`)
      if (bytesRead === 0) return buffer.slice(0, length)
    }
  } finally {
    await handle.close()
  }
}

async function openInput(
  folder: string,
  file: string,
): Promise<Awaited<ReturnType<typeof open>> | undefined> {
  try {
    return await open(join(folder, file), 'r')
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined
    throw refuse(`file "${file}" cannot be read`, error)
  }
}
