// Whether the sandbox shows the very files that were hashed. bubblewrap binds them over their paths; whoever may rename
// in such a folder on the host can take the bind away by putting another file there (rename(2) detaches mounts on what
// it replaces, in every namespace). That is for good, so a bind that is there was there all the time before.
import { close, constants, openSync } from 'node:fs'
import { isSameFile, type HeldFile } from './exe.ts'
import { hasExecuted, imageOf, isComplete } from './process-tree.ts'

export class Binding {
  readonly #files: readonly HeldFile[]
  /** the root folder of the sandbox */
  readonly #rootFd: number
  /** keeps its mounts in place when all its processes are gone */
  readonly #namespaceFd: number

  /** of its init, which never executes anything */
  readonly #setup: string

  private constructor(
    files: readonly HeldFile[],
    pinned: { rootFd: number; namespaceFd: number; setup: string },
  ) {
    this.#files = files
    this.#rootFd = pinned.rootFd
    this.#namespaceFd = pinned.namespaceFd
    this.#setup = pinned.setup
  }

  /** Of a sandbox that is complete, and waits at its gate; undefined if it ended before that. */
  static pin(init: number, files: readonly HeldFile[]): Binding | undefined {
    const setup = imageOf('/proc', init)
    if (setup === undefined || !isComplete(`/proc/${init}/root`)) return undefined
    const namespaceFd = openSync(`/proc/${init}/ns/mnt`, constants.O_RDONLY)
    const rootFd = openSync(`/proc/${init}/root`, constants.O_RDONLY | constants.O_DIRECTORY)
    return new Binding(files, { rootFd, namespaceFd, setup })
  }

  get holds(): boolean {
    return this.#files.every((file) => isSameFile(`${this.#root}${file.path}`, file))
  }

  /** True once something else than bubblewrap's setup runs inside. */
  get hasExecuted(): boolean {
    return hasExecuted(this.#root, this.#setup)
  }

  /** Behind us: the last reference to a mount namespace takes it apart, which takes its time. */
  release(): void {
    for (const fd of [this.#rootFd, this.#namespaceFd]) close(fd)
  }

  get #root(): string {
    return `/proc/self/fd/${this.#rootFd}`
  }
}
