// Who runs ztctl, as the kernel says.
import { ZtError } from '#shared/errors/error.ts'

/** The effective uid: the one that owns what ztctl makes. Errors: ZT-400-CONFIG on a system without uids. */
export function currentUid(): number {
  const uid = process.geteuid?.()
  if (uid === undefined) throw new ZtError('ZT-400-CONFIG', 'this system has no user ids')
  return uid
}
