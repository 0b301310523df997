// Which unix sockets of the host a process could connect to by a path that it is shown. A process with an identity may
// make such sockets, and no system-call filter sees the name that it connects to: so where the host has one in a folder
// that every process is shown, none with an identity is started.
import { readFileSync, realpathSync } from 'node:fs'
import { dirname, join, basename } from 'node:path'
import { ZtError } from '#shared/errors/error.ts'
import { isWithin } from './access.ts'
import { SYSTEM_FOLDERS } from './host-tree.ts'

/** The paths that proc_net_unix(5) names, in the order of the kernel: of this network namespace, and of no other. */
export function parseUnixSockets(text: string): string[] {
  return text
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      // Num RefCount Protocol Flags Type St Inode Path: the path may hold spaces; '@' begins an abstract name.
      const path = /^(?:\S+\s+){6}\S+ (\/.*)$/.exec(line)?.[1]
      return path === undefined ? [] : [path]
    })
}

/**
 * Throws ZT-412-FACT (details.fact "socket") if a socket of the host lies in a system folder and not below one of the
 * `masks`. Only root can put one there, so this is rare; `hide` in the node's configuration names the folder.
 */
export function requireNoSockets(masks: readonly string[]): void {
  const hidden = masks.map(real)
  const shown = SYSTEM_FOLDERS.map((name) => real(`/${name}`))
  const found = parseUnixSockets(readFileSync('/proc/net/unix', 'utf8'))
    .map((path) => join(real(dirname(path)), basename(path)))
    .find((path) => shown.some(within(path)) && !hidden.some(within(path)))
  if (found === undefined) return
  throw new ZtError(
    'ZT-412-FACT',
    `a process with an identity could reach ${found}: name its folder in "hide" of the node's configuration`,
    { details: { fact: 'socket', path: found.slice(0, 200) } },
  )
}

const within =
  (path: string) =>
  (folder: string): boolean =>
    isWithin(path, folder)

/** Without links, where it exists. */
function real(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    // It is gone: nobody connects by that path, and nobody is shown it.
    return path
  }
}
