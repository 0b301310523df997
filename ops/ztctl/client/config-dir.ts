// Where ztctl keeps what is not secret: contexts, and names for completion.
import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { ZtError } from '#shared/errors/error.ts'
import type { Environment } from '../grammar/invocation.ts'
import { claimDirectory } from './owned-files.ts'

/** The path of the configuration folder: ZTMESH_CONFIG_DIR, else $XDG_CONFIG_HOME/ztmesh, else ~/.config/ztmesh. */
export function configDir(env: Environment): string {
  const named = env['ZTMESH_CONFIG_DIR'] ?? ''
  if (named !== '') return named
  const base = env['XDG_CONFIG_HOME'] ?? ''
  return join(isAbsolute(base) ? base : join(env['HOME'] ?? homedir(), '.config'), 'ztmesh')
}

/** Makes the folder if need be. Errors: ZT-400-CONFIG if it is not ours alone. */
export function claimConfigDir(path: string, uid: number): void {
  const fault = claim(path, uid)
  if (fault === undefined) return
  throw new ZtError('ZT-400-CONFIG', `configuration folder ${path} ${fault}`, {
    details: { hint: `it must be yours, with mode 0700: chmod 700 ${path}` },
  })
}

function claim(path: string, uid: number): string | undefined {
  try {
    return claimDirectory(path, uid)
  } catch (error) {
    return `cannot be made (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`
  }
}
