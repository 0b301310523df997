// Descriptors that we were started with and know nothing of. Node passes on to its children whatever is not marked
// close-on-exec, and what is inherited may not be marked: a terminal, a lock, a socket of whoever started us.
import { closeSync, readFileSync, readdirSync } from 'node:fs'

// fcntl.h; the same on x86_64 and aarch64
const O_CLOEXEC = 0o2000000

/** Closes everything above standard error that a child would inherit. To be called before anything is opened. */
export function closeInherited(): void {
  const fds = readdirSync('/proc/self/fd').map(Number)
  for (const fd of fds.filter((number) => number > 2)) {
    const flags = flagsOf(fd)
    if (flags !== undefined && (flags & O_CLOEXEC) === 0) closeSync(fd)
  }
}

/** proc_pid_fdinfo(5); undefined: closed meanwhile, as the one that listed this folder. */
function flagsOf(fd: number): number | undefined {
  try {
    const octal = /^flags:\s+([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1]
    return octal === undefined ? undefined : Number.parseInt(octal, 8)
  } catch {
    return undefined
  }
}
