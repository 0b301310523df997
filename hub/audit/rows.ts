// What the parts of the hub need of its log: to write a row and wait until it is on disk. No row, no action: whoever
// decides something awaits its row first, and a row that could not be written fails the action (ZT-503-AUDIT).
import type { VerifiedSvid } from '#shared/x509/svid.ts'
import type { RowActor, RowDraft } from '#shared/log/row.ts'

export interface WrittenRow {
  readonly log: string
  readonly seq: number
  /** base64url */
  readonly hash: string
  /** signed note of a head that includes the row */
  readonly checkpoint: string
}

export interface RowWriter {
  append(draft: RowDraft): Promise<WrittenRow>
}

/** The actor of a row for somebody who proved an SVID and acts in its own name. */
export function actorOf(svid: Pick<VerifiedSvid, 'id' | 'thumbprint'>): RowActor {
  return { sub: svid.id, caller: svid.id, x5t: svid.thumbprint }
}
