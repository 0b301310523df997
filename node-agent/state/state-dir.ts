// The node's own folder: everything that outlives the process. Nobody but this user may enter it, and a sandbox never
// sees it (it is masked there).
import { lstatSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { geteuid } from 'node:process'

import { ZtError } from '#shared/errors/error.ts'

export interface StatePaths {
  readonly dir: string
  /** P-256, PKCS#8 PEM: proves that this is the machine that joined */
  readonly deviceKey: string
  /** of a node with a TPM, in its place: blobs of the attestation key that only that TPM can use */
  readonly tpmKey: string
  /** Ed25519, PKCS#8 PEM: signs the heads of the audit log, never anything else */
  readonly logKey: string
  /** what that log is called */
  readonly logOrigin: string
  /** what was agreed when the node joined: hub, pinned root, names */
  readonly membership: string
  readonly bundle: string
  readonly audit: string
  readonly lock: string
}

export function statePaths(dir: string): StatePaths {
  return {
    dir,
    deviceKey: join(dir, 'device.key'),
    tpmKey: join(dir, 'tpm-key.json'),
    logKey: join(dir, 'log.key'),
    logOrigin: join(dir, 'log.origin'),
    membership: join(dir, 'membership.json'),
    bundle: join(dir, 'bundle.jws'),
    audit: join(dir, 'audit.db'),
    lock: join(dir, 'agent.lock'),
  }
}

/** Errors: ZT-400-CONFIG if the folder is missing, a link, of another user, or open to anybody else. */
export function requireStateDir(dir: string): StatePaths {
  const stat = lstatSync(dir, { throwIfNoEntry: false })
  if (stat === undefined) throw new ZtError('ZT-400-CONFIG', `stateDir ${dir} does not exist: join first`)
  const closed = stat.isDirectory() && stat.uid === geteuid?.() && (stat.mode & 0o077) === 0
  if (!closed)
    throw new ZtError('ZT-400-CONFIG', `stateDir ${dir} must be a folder of this user with mode 0700`)
  return statePaths(dir)
}

/** Makes the folder if it is missing, then holds it to the same rules. */
export function createStateDir(dir: string): StatePaths {
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  return requireStateDir(dir)
}
