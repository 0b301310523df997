// Where keys can be kept: the token of a ceremony, and the memory folder of a session.
import { existsSync } from 'node:fs'
import { isZtError } from '#shared/errors/error.ts'
import { openSessionDir } from '../client/session-dir.ts'
import { ok, fail, type Check } from './check.ts'

const MODULES = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib64/pkcs11/libsofthsm2.so',
  '/usr/local/lib/softhsm/libsofthsm2.so',
  '/opt/homebrew/lib/softhsm/libsofthsm2.so',
]

/** The PKCS#11 module that ceremonies use unless their file names another one. */
export const checkSofthsm: Check = async () => {
  const about = { name: 'softhsm2', neededBy: 'ceremony' }
  const found = MODULES.find((path) => existsSync(path))
  return found === undefined
    ? fail(
        about,
        'no PKCS#11 module is where it is expected',
        'install the package softhsm2, or name another module in the ceremony file',
      )
    : ok(about, found)
}

/** The folder in memory where the session's key is. */
export const checkSessionDir: Check = async ({ env, uid }) => {
  const about = { name: 'session folder', neededBy: 'ztctl' }
  try {
    return ok(about, openSessionDir({ env, uid }))
  } catch (error) {
    if (!isZtError(error)) throw error
    return fail(about, error.message, String(error.details['hint'] ?? ''))
  }
}
