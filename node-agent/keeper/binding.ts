// Whether the sandbox shows the very files that were hashed. bubblewrap binds them over their paths; whoever may rename
// in such a folder on the host can take the bind away by putting another file there (rename(2) detaches mounts on what
// it replaces, in every namespace). That is for good, so a bind that is there was there all the time before.
import { close, constants, openSync } from 'node:fs'
import { isSameFile, type HeldFile } from './exe.ts'
import { hasExecuted, isComplete } from './process-tree.ts'

export class Binding {
  readonly #files: readonly HeldFile[]
  /** the root folder of the sandbox */
  readonly #rootFd: number
  /** keeps its mounts in place when all its processes are gone */
  readonly #namespaceFd: number

  private constructor(files: readonly HeldFile[], fds: { rootFd: number; namespaceFd: number }) {
    this.#files = files
    this.#rootFd = fds.rootFd
    this.#namespaceFd = fds.namespaceFd
  }

  /** Of a sandbox that is complete, and waits at its gate; undefined if it ended before that. */
  static pin(init: number, files: readonly HeldFile[]): Binding | undefined {
    if (!isComplete(`/proc/${init}/root`)) return undefined
    const namespaceFd = openSync(`/proc/${init}/ns/mnt`, constants.O_RDONLY)
    const rootFd = openSync(`/proc/${init}/root`, constants.O_RDONLY | constants.O_DIRECTORY)
    return new Binding(files, { rootFd, namespaceFd })
  }

  get holds(): boolean {
    return this.#files.every((file) => isSameFile(`${this.#root}${file.path}`, file))
  }

  /** True once something else than bubblewrap, which carries `label`, runs inside. */
  hasExecuted(label: string): boolean {
    return hasExecuted(this.#root, label)
  }

  /** Behind us: the last reference to a mount namespace takes it apart, which takes its time. */
  release(): void {
    for (const fd of [this.#rootFd, this.#namespaceFd]) close(fd)
  }

  get #root(): string {
    return `/proc/self/fd/${this.#rootFd}`
  }
}
