// One renewal at a time over all ztctl of one user. The lock is a record lock of the kernel's, taken through SQLite: it
// ends with the process that holds it, however that process ends, so there is no stale lock to judge.
import { DatabaseSync } from 'node:sqlite'
import { join } from 'node:path'
import { ZtError } from '#shared/errors/error.ts'
import { sleep, type Clock } from '#shared/host/clock.ts'

export interface LockOptions {
  readonly folder: string
  readonly name: string
  readonly clock: Clock
  /** milliseconds */
  readonly patience: number
}

const RETRY_MS = 20

/**
 * Runs `work` while holding the lock. Errors: ZT-504-TIMEOUT if others hold it all the time, ZT-412-SESSION-DIR, and
 * those of `work`.
 */
export async function withLock<T>(options: LockOptions, work: () => Promise<T>): Promise<T> {
  const database = openLock(join(options.folder, `${options.name}.lock`))
  try {
    await acquire(database, options)
    return await work()
  } finally {
    database.close()
  }
}

function openLock(path: string): DatabaseSync {
  try {
    return new DatabaseSync(path, { timeout: 0 })
  } catch (cause) {
    throw new ZtError('ZT-412-SESSION-DIR', `the lock ${path} cannot be opened`, { cause })
  }
}

async function acquire(database: DatabaseSync, { clock, patience }: LockOptions): Promise<void> {
  const end = clock.monotonicNs() + BigInt(patience) * 1_000_000n
  while (!tryAcquire(database)) {
    if (clock.monotonicNs() >= end)
      throw new ZtError('ZT-504-TIMEOUT', 'another ztctl renews the session for too long')
    await sleep(clock, RETRY_MS)
  }
}

function tryAcquire(database: DatabaseSync): boolean {
  try {
    database.exec('BEGIN EXCLUSIVE')
    return true
  } catch (error) {
    // SQLITE_BUSY
    if ((error as { errcode?: number }).errcode === 5) return false
    throw error
  }
}
