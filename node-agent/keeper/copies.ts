// Copies of programs whose own user could write to them while they run: what is hashed is what the copy got, and nobody
// writes to that any more. They lie beside the workspaces, where the user can go by name, and which no sandbox shows.
import { chmodSync, closeSync, constants, fchmodSync, mkdirSync, openSync, rmSync } from 'node:fs'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { sha256Text } from '#shared/encoding/digest.ts'
import { requireOwnRoot } from '../sandbox/workspace.ts'

/** Open for writing until `seal`. */
export interface NewCopy {
  readonly fd: number
  /** From here on nothing can write to it; the descriptor is one for reading. `fd` is closed. */
  seal(): ProgramCopy
  discard(): void
}

export interface ProgramCopy {
  readonly fd: number
  /** Closes and removes it. */
  close(): void
}

export class ProgramCopies {
  readonly #name: string
  /** those that hold nothing of an earlier keeper */
  readonly #ready = new Set<string>()

  /** One keeper at a time has that state folder, and so the folder of copies that is named after it. */
  constructor(stateDir: string) {
    this.#name = `.programs-${sha256Text(stateDir).slice(0, 16)}`
  }

  /** `root` is the folder of all workspaces. Errors: ZT-412-FACT if it is not ours alone. */
  create(root: string): NewCopy {
    const path = join(this.#folder(root), randomUUID())
    const fd = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
    const discard = (): void => {
      closeSync(fd)
      rmSync(path)
    }
    return { fd, discard, seal: () => seal(path, fd) }
  }

  #folder(root: string): string {
    const folder = join(root, this.#name)
    if (this.#ready.has(folder)) return folder
    requireOwnRoot(root)
    // If an earlier keeper crashed, its copies are here still; nothing runs of them any more.
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder, { mode: 0o711 })
    chmodSync(folder, 0o711)
    this.#ready.add(folder)
    return folder
  }
}

function seal(path: string, fd: number): ProgramCopy {
  try {
    fchmodSync(fd, 0o555)
  } finally {
    closeSync(fd)
  }
  const readFd = openSync(path, constants.O_RDONLY)
  return {
    fd: readFd,
    close: () => {
      closeSync(readFd)
      rmSync(path, { force: true })
    },
  }
}
