// Bytes for a child to read from a descriptor, without a pipe to be fed and without a name to be found by.
import { closeSync, constants, openSync, unlinkSync, writeSync } from 'node:fs'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'

/** A descriptor at offset 0 of a file that holds `bytes` and has no name any more. `dir` is ours alone. */
export function openUnnamed(dir: string, bytes: Uint8Array): number {
  const path = join(dir, `${randomUUID()}.tmp`)
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600)
  try {
    unlinkSync(path)
    // Written by position, which leaves the descriptor's own offset at the start.
    for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at, bytes.length - at, at)
    return fd
  } catch (cause) {
    closeSync(fd)
    throw cause
  }
}

/** The same file again, at offset 0 and with an offset of its own. */
export function openAgain(fd: number): number {
  return openSync(`/proc/self/fd/${fd}`, constants.O_RDONLY)
}
