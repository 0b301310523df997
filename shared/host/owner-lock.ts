// One process at a time owns a file: two writers of one log would sign two histories. The lock is SQLite's own, on a
// file of its own, so the kernel releases it however the process ends.
import { closeSync, existsSync, openSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { ZtError } from '#shared/errors/error.ts'

const MODE = 0o600

export interface OwnerLock {
  release(): void
}

/** Takes the lock `file`, or throws ZT-503-AUDIT at once if another process, or another part of this one, has it. */
export function takeOwnerLock(file: string): OwnerLock {
  let database: DatabaseSync | undefined
  try {
    makeMissing(file)
    database = new DatabaseSync(file, { timeout: 0 })
    // In memory, so that nothing is left to be rolled back by the next owner.
    database.exec('PRAGMA journal_mode = MEMORY; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
  } catch (cause) {
    database?.close()
    throw new ZtError('ZT-503-AUDIT', 'the log is open in another process', { cause })
  }
  const held = database
  return { release: () => held.close() }
}

// A file that is there already is not opened: on POSIX, closing any descriptor of a file gives up every lock that this
// process has on it, and so would a second try give up the lock of the first.
function makeMissing(file: string): void {
  if (!existsSync(file)) closeSync(openSync(file, 'wx', MODE))
}
