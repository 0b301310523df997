// The trust bundle between two runs: the fingerprint of the root that signed it, and the signed text. The root is the
// one pinned at joining until a bundle that was signed by a trusted root brings another; the folder is the node's own.
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

import { sha256 } from '#shared/encoding/digest.ts'
import { ZtError } from '#shared/errors/error.ts'
import { BUNDLE_TYP, parseJws } from '#shared/jose/jws.ts'
import { openBundle, type TrustBundle } from '#shared/x509/bundle.ts'
import { syncDirectory } from './secret-file.ts'

const MAX_BYTES = 64 * 1024

/** Keeps a bundle that was opened, in one step: after a crash the file is the old or the new one, never half of either. */
export function writeBundleFile(path: string, text: string): void {
  const signer = parseJws(text, { typ: BUNDLE_TYP, maxBytes: MAX_BYTES }).x5c[0] ?? new Uint8Array()
  const temporary = `${path}.new`
  const fd = openSync(temporary, 'w', 0o600)
  try {
    writeSync(fd, `${Buffer.from(sha256(signer)).toString('hex')}\n${text}\n`)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameSync(temporary, path)
  syncDirectory(dirname(path))
}

/** Errors: ZT-400-CONFIG if there is none (the node has not joined); ZT-401-BUNDLE if it does not hold at `at` (ms). */
export function readBundleFile(path: string, at: number): TrustBundle {
  let content: string
  try {
    content = readFileSync(path, 'utf8')
  } catch (cause) {
    throw new ZtError('ZT-400-CONFIG', 'there is no trust bundle in stateDir: join first', { cause })
  }
  const [pinnedRoot, text, end] = content.split('\n')
  if (pinnedRoot === undefined || text === undefined || end !== '') {
    throw new ZtError('ZT-401-BUNDLE', 'the trust bundle in stateDir is damaged')
  }
  return openBundle(text, { pinnedRoot }, at)
}
