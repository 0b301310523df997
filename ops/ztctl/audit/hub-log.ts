// The hub's log, fetched and verified whole: its key is the one that login vouched for, its newest head must go on from
// the newest one that this user has seen, and every entry is hashed here.
import { decodeBase64 } from '#shared/encoding/base64url.ts'
import { claimedHead, openCheckpoint, type TreeHead } from '#shared/log/checkpoint.ts'
import { parseVkey } from '#shared/log/note.ts'
import { decodeEntries, tilePath } from '#shared/log/tiles.ts'
import { TILE_WIDTH } from '#shared/log/tree-edge.ts'
import type { LogReport } from '#shared/log/verify-log.ts'
import type { LogIdentity } from '#shared/protocol/admission.ts'
import type { Mesh } from '../client/mesh.ts'
import { LogCheck } from './log-check.ts'
import { LogCopyWriter } from './log-copy.ts'
import { Witnessed } from './witnessed.ts'

export interface HubLog {
  readonly report: LogReport
  readonly witnessed: Witnessed
  /** the head that all of it was checked against */
  readonly head: TreeHead
  readonly note: string
}

export interface HubLogOptions {
  readonly identity: LogIdentity
  /** the head that was seen last, which the log must still contain */
  readonly seen: TreeHead | undefined
  /** where a copy is written as the entries come */
  readonly copy: string | undefined
}

/** Fetches and verifies. What is wrong with the log is in the report; errors are those of Mesh.hub(). */
export async function verifyHubLog(mesh: Mesh, options: HubLogOptions): Promise<HubLog> {
  const { identity, seen } = options
  const note = await fetchCheckpoint(mesh)
  // Opened before a single entry is asked for: an unsigned size could keep us busy for ever.
  const head = openCheckpoint(note, identity.origin, [parseVkey(identity.vkey)])
  const witnessed = new Witnessed()
  const anchors = seen === undefined ? [] : [seen]
  const check = new LogCheck({ origin: identity.origin, vkeys: [identity.vkey], anchors }, (row) =>
    witnessed.take(row),
  )
  check.expect([note])
  const copy =
    options.copy === undefined
      ? undefined
      : new LogCopyWriter(options.copy, { ...identity, checkpoints: [note] })
  try {
    await pushEntries({ mesh, size: head.size, copy }, check)
  } finally {
    copy?.close()
  }
  return { report: check.report(), witnessed, head, note }
}

async function fetchCheckpoint(mesh: Mesh): Promise<string> {
  const result = await mesh.hub('log', { kind: 'checkpoint' })
  if (result.kind !== 'checkpoint') throw new TypeError('the parser of the answer let another kind through')
  claimedHead(result.note)
  return result.note
}

interface Fetch {
  readonly mesh: Mesh
  readonly size: number
  readonly copy: LogCopyWriter | undefined
}

async function pushEntries({ mesh, size, copy }: Fetch, check: LogCheck): Promise<void> {
  for (let index = 0; index * TILE_WIDTH < size; index += 1) {
    const width = Math.min(TILE_WIDTH, size - index * TILE_WIDTH)
    const result = await mesh.hub('log', { kind: 'tile', path: tilePath({ level: 'entries', index, width }) })
    const bundle = result.kind === 'tile' ? decodeBase64(result.data, 'data') : new Uint8Array()
    // A hub that gives fewer entries than it signed for has a log that is cut short: the report says so.
    for (const entry of decodeEntries(bundle).slice(0, width)) {
      copy?.add(entry)
      if (!check.push(entry)) return
    }
  }
}
