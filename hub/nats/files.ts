// Files that only the hub's own user may read, replaced whole: a reader sees the old bytes or the new ones.
import { randomUUID } from 'node:crypto'
import { rename, rm, writeFile } from 'node:fs/promises'

/** Writes `path` with mode 0600, by way of a file beside it. */
export async function replacePrivateFile(path: string, data: string | Uint8Array): Promise<void> {
  const fresh = `${path}.${randomUUID()}`
  try {
    await writeFile(fresh, data, { mode: 0o600, flag: 'wx' })
    await rename(fresh, path)
  } catch (error) {
    await rm(fresh, { force: true })
    throw error
  }
}
