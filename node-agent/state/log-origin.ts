// The name of this node's log, chosen before the first try to join, so that a try that is repeated registers the same
// log. Its epoch is the second of that moment: a node that joins anew begins a log of another name.
import { ZtError } from '#shared/errors/error.ts'
import type { NodeName, TrustDomain } from '#shared/identity/names.ts'
import { createSecretFile, readSecretFile } from './secret-file.ts'

const FORM = /^[a-z0-9._-]{1,255}\/log\/node\/[a-z0-9-]{1,63}\/e[1-9][0-9]{0,8}$/
/** Epochs count from here, so that they have nine digits until 2051. */
const FIRST_MS = Date.UTC(2020, 0, 1)

export interface LogOwner {
  readonly td: TrustDomain
  readonly node: NodeName
}

/** The name that `path` holds, or a new one that it holds from now on. ZT-400-CONFIG if it is another node's. */
export function chooseLogOrigin(path: string, owner: LogOwner, nowMs: number): string {
  const prefix = `${owner.td}/log/node/${owner.node}/e`
  const held = readSecretFile(path)?.toString('utf8')
  if (held === undefined) {
    const origin = `${prefix}${Math.max(1, Math.floor((nowMs - FIRST_MS) / 1000))}`
    createSecretFile(path, origin)
    return origin
  }
  if (!FORM.test(held) || !held.startsWith(prefix)) {
    throw new ZtError('ZT-400-CONFIG', `${path} does not name a log of this node: stateDir is another node's`)
  }
  return held
}
