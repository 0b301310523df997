// Which unix sockets of the host a process could connect to by a path that it is shown. A process with an identity may
// make such sockets, and no system-call filter sees the name that it connects to: so where the host has one in a folder
// that every process is shown, none with an identity is started.
import { readdirSync, readFileSync, realpathSync, type Dirent } from 'node:fs'
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

/** Where somebody listens whose socket was named from a folder that the kernel does not say: inode and name. */
export function parseRelativeListeners(text: string): string[] {
  return text
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      // __SO_ACCEPTCON: connections that were taken have the same name, and an inode each.
      const [, inode, path] = /^(?:\S+\s+){3}0*10000 \S+ \S+ +(\d+) ([^@/].*)$/.exec(line) ?? []
      return inode === undefined || path === undefined ? [] : [`${inode} ${path}`]
    })
}

export class HostSockets {
  readonly #read: () => string
  // Looking through the folders takes a second, and a host may have such listeners always.
  #looked: { readonly listeners: string; readonly found: readonly string[] } | undefined

  /** `read` gives proc_net_unix(5). */
  constructor(read: () => string = () => readFileSync('/proc/net/unix', 'utf8')) {
    this.#read = read
  }

  /**
   * Throws ZT-412-FACT (details.fact "socket") if a socket of the host lies in a system folder and not below one of the
   * `masks`. Only root can put one there, so this is rare; `hide` in the node's configuration names the folder.
   */
  requireNone(masks: readonly string[]): void {
    const text = this.#read()
    const hidden = masks.map(real)
    const shown = SYSTEM_FOLDERS.map((name) => real(`/${name}`))
    const named = parseUnixSockets(text).map((path) => join(real(dirname(path)), basename(path)))
    const found = [...named, ...this.#relative(parseRelativeListeners(text), shown)].find(
      (path) => shown.some(within(path)) && !hidden.some(within(path)),
    )
    if (found !== undefined) throw reachable(found)
  }

  #relative(relative: readonly string[], shown: readonly string[]): readonly string[] {
    const listeners = relative.join('\n')
    if (listeners === '') return []
    if (this.#looked?.listeners !== listeners) {
      const names = new Set(relative.map((one) => basename(one.slice(one.indexOf(' ') + 1))))
      const folders = shown.filter((one) => !shown.some((other) => one !== other && isWithin(one, other)))
      this.#looked = { listeners, found: [...new Set(folders)].flatMap((folder) => socketsIn(folder, names)) }
    }
    return this.#looked.found
  }
}

function socketsIn(folder: string, names: ReadonlySet<string>): string[] {
  const found: string[] = []
  const folders = [folder]
  for (let next = folders.pop(); next !== undefined; next = folders.pop())
    for (const entry of entriesOf(next)) {
      if (entry.isDirectory()) folders.push(join(next, entry.name))
      if (entry.isSocket() && names.has(entry.name)) found.push(join(next, entry.name))
    }
  return found
}

// What is gone by now, or closed to us, is so for the process too: it is no more than we are.
function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true })
  } catch {
    return []
  }
}

function reachable(found: string): ZtError {
  return new ZtError(
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
