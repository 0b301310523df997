// A folder of one test's own, gone when the test is.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Makes the folder, mode 0700, and removes it with everything in it after `test`. */
export async function tempDir(test: { after(action: () => Promise<void>): void }): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'ztmesh-'))
  test.after(() => rm(dir, { recursive: true, force: true }))
  return dir
}
