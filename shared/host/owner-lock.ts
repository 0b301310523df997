// One process at a time owns a file: two writers of one log would sign two histories. The lock is SQLite's own, on a
// file of its own, so the kernel releases it however the process ends.
import { closeSync, constants, openSync } from 'node:fs'
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
    closeSync(openSync(file, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, MODE))
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
