// The hub's log, fetched and verified whole: its key is the one that login vouched for, its newest head must go on from
// the newest one that this user has seen, and every entry is hashed here.
import { decodeBase64url } from '#shared/encoding/base64url.ts'
import { openCheckpoint, type TreeHead } from '#shared/log/checkpoint.ts'
import { parseVkey } from '#shared/log/note.ts'
import { decodeEntries } from '#shared/log/tiles.ts'
import type { LogReport } from '#shared/log/verify-log.ts'
import type { LogIdentity } from '#shared/protocol/admission.ts'
import type { LogRequest, LogResult } from '#shared/protocol/hub-ops.ts'
import { LogCheck } from './log-check.ts'
import { LogCopyWriter } from './log-copy.ts'
import { Witnessed } from './witnessed.ts'

export interface HubLog {
  readonly report: LogReport
  readonly witnessed: Witnessed
  /** the head that all of it was checked against */
  readonly head: TreeHead
}

export interface HubLogOptions {
  /** asks for a part of the log; what it answers is believed for nothing */
  readonly ask: (request: LogRequest) => Promise<LogResult>
  readonly identity: LogIdentity
  /** the head that was seen last, which the log must still contain */
  readonly seen: TreeHead | undefined
  /** where a copy is written, as the entries come */
  readonly copy: string | undefined
}

/**
 * Fetches and verifies. What is wrong with the log is in the report. Errors: ZT-422-NOTE and ZT-490-SIGNATURE for its
 * signed head, and those of `ask`.
 */
export async function verifyHubLog(options: HubLogOptions): Promise<HubLog> {
  const { identity, seen, ask } = options
  const answer = await ask({ kind: 'checkpoint' })
  const note = answer.kind === 'checkpoint' ? answer.note : ''
  // Opened before a single entry is asked for: an unsigned size could keep us busy for ever.
  const head = openCheckpoint(note, identity.origin, [parseVkey(identity.vkey)])
  const witnessed = new Witnessed()
  const anchors = seen === undefined ? [] : [seen]
  const trust = { origin: identity.origin, vkeys: [identity.vkey], anchors }
  const check = new LogCheck(trust, (row) => witnessed.take(row))
  check.expect([note])
  const copied = { ...identity, checkpoints: [note] }
  const copy = options.copy === undefined ? undefined : new LogCopyWriter(options.copy, copied)
  try {
    await pushEntries({ ask, size: head.size, copy }, check)
  } finally {
    copy?.close()
  }
  return { report: check.report(), witnessed, head }
}

interface Fetch {
  readonly ask: HubLogOptions['ask']
  readonly size: number
  readonly copy: LogCopyWriter | undefined
}

async function pushEntries({ ask, size, copy }: Fetch, check: LogCheck): Promise<void> {
  while (check.size < size) {
    const answer = await ask({ kind: 'entries', from: check.size })
    const entries = answer.kind === 'entries' ? decodeEntries(decodeBase64url(answer.data, 'data')) : []
    // A hub that has fewer entries than it signed for has a log that is cut short: the report says so.
    if (entries.length === 0) return
    for (const entry of entries.slice(0, size - check.size)) {
      copy?.add(entry)
      if (!check.push(entry)) return
    }
  }
}
