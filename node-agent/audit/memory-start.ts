// From when on this store can answer "was it seen before?". A store that is younger than a message cannot: it may have
// been seen by the one before it. Such messages and tokens are refused (§4.4, "if the store is new or lost").
import { ZtError } from '#shared/errors/error.ts'
import type { Marks } from './marks.ts'

/** A message that was accepted before the store existed may be dated 30 s ahead of that moment. */
const SKEW_MS = 30_000

export interface StoreBirth {
  readonly nowMs: number
  /**
   * True only while joining, before the node has any identity: nothing was ever sealed to its keys or granted to this
   * incarnation of it, so nothing can have been seen, and no time of grace is needed.
   */
  readonly beforeFirstIdentity: boolean
}

/** Sets the moment if the store has none yet, else keeps the one it has. */
export function beginMemory(marks: Marks, birth: StoreBirth): void {
  if (marks.value('consumed-since') !== undefined) return
  const wholeSecond = Math.floor(birth.nowMs / 1000) * 1000
  marks.raise('consumed-since', birth.beforeFirstIdentity ? wholeSecond : birth.nowMs + SKEW_MS)
}

/** ZT-408-STALE for what was made (`iat`, seconds) before the store could remember it, or if that is not known. */
export function refuseBeforeMemory(marks: Marks, what: 'message' | 'token', iat: number): void {
  const since = marks.value('consumed-since')
  if (since !== undefined && iat * 1000 >= since) return
  throw new ZtError('ZT-408-STALE', `the ${what} is older than this node's memory of what it has seen`)
}
