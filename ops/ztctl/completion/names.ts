// Names that completion offers, remembered from the last listing: reading them costs a shell no start of ztctl.
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Environment } from '../grammar/invocation.ts'
import { configDir } from '../client/config-dir.ts'
import { writeOwned } from '../client/owned-files.ts'

// bash expands the words it is given, so only what cannot mean anything to a shell is ever written.
const PLAIN = /^[a-z0-9/-]{1,150}$/

/** Remembers names. It is a convenience: that it could not be written is no failure of the verb. */
export function rememberNames(what: 'nodes' | 'processes', names: readonly string[], env: Environment): void {
  const folder = join(configDir(env), 'cache')
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    writeOwned(
      folder,
      what,
      names
        .filter((name) => PLAIN.test(name))
        .map((name) => `${name}\n`)
        .join(''),
    )
  } catch (error) {
    // A read-only home folder: completion offers no names there.
    if ((error as NodeJS.ErrnoException).code === undefined) throw error
  }
}
