// Where a ceremony writes: new files in its own folder, which never replace anything.
import { lstat } from 'node:fs/promises'
import { join } from 'node:path'
import { ZtError } from '#shared/errors/error.ts'
import { createFile, isErrno } from '../keystore/private-file.ts'

/** Writes an output; ZT-409-EXISTS if anything is there. */
export async function writeOutput(folder: string, file: string, content: Uint8Array | string): Promise<void> {
  await createFile(join(folder, file), content, 0o644)
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
