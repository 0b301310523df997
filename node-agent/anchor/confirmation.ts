// Checks that the hub's answer proves what it claims: that our head, and nothing else, is a leaf of the hub's log, and
// that this log still begins with everything of it that we saw before. A hub that cannot show it has not confirmed.
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import type { JsonValue } from '#shared/encoding/json-value.ts'
import { ZtError } from '#shared/errors/error.ts'
import { openCheckpoint, type Checkpoint, type OpenedCheckpoint } from '#shared/log/checkpoint.ts'
import { HASH_BYTES } from '#shared/log/hash.ts'
import { EMPTY_ROOT, verifyConsistency, verifyInclusion } from '#shared/log/merkle.ts'
import type { NoteVerifier } from '#shared/log/note.ts'
import { leafHash, parseRow } from '#shared/log/row.ts'
import type { AnchorResponse } from '#shared/protocol/anchor.ts'

export interface HubLog {
  readonly origin: string
  readonly verifier: NoteVerifier
}

export interface Anchored {
  /** the head of ours that was sent */
  readonly sent: Checkpoint
  /** the hub's head that we hold; size 0 before the first */
  readonly held: { readonly size: number; readonly root: string }
}

/** The hub's new head. Errors: ZT-422-NOTE, ZT-490-SIGNATURE, ZT-490-PROOF, ZT-490-FORK, ZT-490-ANCHOR. */
export function verifyConfirmation(
  hub: HubLog,
  anchored: Anchored,
  response: AnchorResponse,
): OpenedCheckpoint {
  const head = openCheckpoint(response.checkpoint, hub.origin, [hub.verifier])
  requireSameHistory(head, anchored.held, response.consistency)
  const entry = decodeBase64url(response.entry, 'entry')
  verifyInclusion({
    leaf: leafHash(entry),
    index: response.index,
    size: head.size,
    root: head.root,
    proof: decodeHashes(response.inclusion),
  })
  requireOurHead(entry, { index: response.index, origin: hub.origin, sent: anchored.sent })
  return head
}

function requireSameHistory(head: OpenedCheckpoint, held: Anchored['held'], proof: readonly string[]): void {
  const oldRoot = held.size === 0 ? EMPTY_ROOT : decodeBase64url(held.root, 'root')
  // Two roots of one size contradict each other without any proof.
  if (head.size === held.size && encodeBase64url(head.root) !== held.root) {
    throw new ZtError('ZT-490-FORK', 'the hub signed two heads of one size', { details: { size: head.size } })
  }
  verifyConsistency({
    oldSize: held.size,
    oldRoot,
    size: head.size,
    root: head.root,
    proof: decodeHashes(proof),
  })
}

/** The leaf must say what was sent: a proof about some other row would prove nothing to us. */
function requireOurHead(
  entry: Uint8Array,
  { index, origin, sent }: { readonly index: number; readonly origin: string; readonly sent: Checkpoint },
): void {
  const row = parseRow(entry.subarray(HASH_BYTES))
  const expected: ReadonlyMap<string, JsonValue | undefined> = new Map<string, JsonValue | undefined>([
    ['origin', sent.origin],
    ['size', sent.size],
    ['root', encodeBase64url(sent.root)],
    ['note_sha256', sha256Text(sent.note)],
  ])
  const ours = [...expected].every(([field, value]) => row.obj?.[field] === value)
  if (row.type === 'anchor.received' && row.log === origin && row.seq === index && ours) return
  throw new ZtError('ZT-490-ANCHOR', 'the leaf that the hub shows is not the head that was sent', {
    details: { index },
  })
}

function decodeHashes(hashes: readonly string[]): Uint8Array[] {
  return hashes.map((hash) => decodeBase64url(hash, 'proof'))
}
