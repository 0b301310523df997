// One agent per state folder. The lock is SQLite's exclusive file lock: the kernel ends it with the process, so a
// kill -9 leaves nothing to clean up, and a pid that was reused cannot be mistaken for us.
import { chmodSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'

import { ZtError } from '#shared/errors/error.ts'

export interface InstanceLock {
  release(): void
}

/** Errors: ZT-409-EXISTS if another process holds the folder. */
export function acquireInstanceLock(path: string): InstanceLock {
  const database = new DatabaseSync(path)
  try {
    chmodSync(path, 0o600)
    // Held for as long as the process lives; nothing is ever written in this transaction.
    database.exec('PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE')
  } catch (cause) {
    database.close()
    throw new ZtError('ZT-409-EXISTS', 'another node agent runs on this stateDir', { cause })
  }
  return {
    release: () => {
      if (database.isOpen) database.close()
    },
  }
}
