// Takes the signed heads of the nodes' logs into the hub's own (authority-and-audit §3.4). A head must go on from the one
// that is held; it is kept before it is answered, and the answer proves that it became a leaf. Two heads of one size
// with two roots are proof of a lie: both are kept, and the node gets no tokens until an operator lets it in again.
import { decodeBase64url, encodeBase64url } from '#shared/encoding/base64url.ts'
import { sha256Text } from '#shared/encoding/digest.ts'
import { ZtError } from '#shared/errors/error.ts'
import type { Clock } from '#shared/host/clock.ts'
import type { DurableLog } from '#shared/host/durable-log.ts'
import { nodeNameOf } from '#shared/identity/spiffe-id.ts'
import { claimedHead, openCheckpoint, type Checkpoint } from '#shared/log/checkpoint.ts'
import { EMPTY_ROOT, verifyConsistency } from '#shared/log/merkle.ts'
import { parseVkey } from '#shared/log/note.ts'
import { ENTRY_AT } from '#shared/log/record.ts'
import type { AnchorRequest, AnchorResponse } from '#shared/protocol/anchor.ts'
import type { RowRequest } from '#shared/log/row.ts'
import type { VerifiedSvid } from '#shared/x509/svid.ts'
import type { AnchoredHead, NodeRecord, NodeStore } from '../store/store.ts'
import type { Refusals } from './refusals.ts'
import { actorOf, type WrittenRow } from './rows.ts'

export interface AnchorParts {
  readonly clock: Clock
  readonly nodes: NodeStore
  readonly log: Pick<DurableLog, 'append' | 'proveInclusion' | 'proveConsistency' | 'records' | 'origin'>
  readonly refusals: Refusals
}

export interface Anchored {
  readonly result: AnchorResponse
  readonly row: WrittenRow
}

interface Sender {
  readonly caller: VerifiedSvid
  readonly request: RowRequest
}

/** Longer than any honest note; a row must hold it however its characters are escaped. */
const MAX_NOTE_IN_ROW = 4096

const NOTHING: AnchoredHead = { size: 0, root: encodeBase64url(EMPTY_ROOT), note: '', at: 0 }

export class Anchors {
  readonly #parts: AnchorParts

  constructor(parts: AnchorParts) {
    this.#parts = parts
  }

  /**
   * Anchors the head of the caller's own log. Throws ZT-404-NODE, ZT-403-REVOKED, ZT-422-NOTE, ZT-490-SIGNATURE for the
   * head; ZT-409-ANCHOR (details.size) when another head is held than `old` says; ZT-490-TRUNCATED, ZT-490-PROOF when
   * it does not go on from it; ZT-490-FORK when it contradicts it.
   */
  async anchor(request: AnchorRequest, sender: Sender): Promise<Anchored> {
    const name = nodeNameOf(sender.caller.id)
    try {
      const node = await this.#node(name)
      const head = openHead(request, node)
      await this.#accept(node, head, request)
      return await this.#leaf(head, request, sender)
    } catch (error) {
      const obj = { node: name, ...noteOf(request.checkpoint), old: request.old }
      const actor = actorOf(sender.caller)
      await this.#parts.refusals.record({ type: 'anchor.rejected', actor, req: sender.request, obj }, error)
      throw error
    }
  }

  async #node(name: string): Promise<NodeRecord> {
    const node = await this.#parts.nodes.find(name)
    if (node === undefined) throw new ZtError('ZT-404-NODE', 'the node is not registered')
    if (node.revokedAt !== undefined) throw new ZtError('ZT-403-REVOKED', 'the node is revoked')
    if (node.distrustedAt !== undefined)
      throw new ZtError('ZT-490-FORK', 'two heads of this log contradict each other')
    return node
  }

  async #accept(node: NodeRecord, head: Checkpoint, request: AnchorRequest): Promise<void> {
    const held = node.anchor ?? NOTHING
    await this.#requireNoFork(node, head)
    if (request.old !== held.size) throw otherHead(held.size)
    requireExtends(held, head, request.proof)
    const { clock, nodes } = this.#parts
    const next = { size: head.size, root: encodeBase64url(head.root), note: head.note, at: clock.now() }
    // Kept before it is answered. If we crash here the node hears nothing, is told this size when it asks again, and
    // goes on from it.
    if (await nodes.anchor(node.name, held.size, next)) return
    // Another head was kept meanwhile, and this one may contradict it.
    const now = await this.#node(node.name)
    await this.#requireNoFork(now, head)
    throw otherHead(now.anchor?.size ?? 0)
  }

  // Looked for before anything that is an honest node's bad luck, so that no order of messages hides it.
  async #requireNoFork(node: NodeRecord, head: Checkpoint): Promise<void> {
    const held = node.anchor
    if (held === undefined || head.size !== held.size || encodeBase64url(head.root) === held.root) return
    const { nodes, log, clock } = this.#parts
    const { name } = node
    // Before its row: distrust must not wait for a disk that is full. If we crash here the notes are in the store.
    await nodes.recordEquivocation({ node: name, held: held.note, received: head.note, now: clock.now() })
    const digests = { held_sha256: sha256Text(held.note), received_sha256: sha256Text(head.note) }
    const obj = { node: name, size: head.size, ...digests }
    await log.append({ type: 'equivocation.detected', out: 'deny', code: 'ZT-490-FORK', obj })
    throw new ZtError('ZT-490-FORK', 'two heads of this log contradict each other', {
      details: { size: head.size },
    })
  }

  async #leaf(head: Checkpoint, request: AnchorRequest, sender: Sender): Promise<Anchored> {
    const { log, clock } = this.#parts
    const row = await log.append({
      type: 'anchor.received',
      out: 'allow',
      actor: actorOf(sender.caller),
      req: sender.request,
      obj: {
        origin: head.origin,
        size: head.size,
        root: encodeBase64url(head.root),
        note_sha256: sha256Text(head.note),
        hub_ts: clock.now(),
      },
    })
    const { size } = claimedHead(row.checkpoint)
    const result = {
      checkpoint: row.checkpoint,
      index: row.seq,
      entry: encodeBase64url(this.#entry(row.seq)),
      inclusion: log.proveInclusion(row.seq, size).map(encodeBase64url),
      consistency: this.#consistency(request.hub_old, size),
    }
    return { result, row }
  }

  #entry(seq: number): Uint8Array {
    for (const record of this.#parts.log.records(seq, seq + 1)) return record.bytes.subarray(ENTRY_AT)
    throw new ZtError('ZT-503-AUDIT', 'the row of the anchor cannot be read back')
  }

  #consistency(oldSize: number, size: number): string[] {
    if (oldSize > size)
      throw new ZtError(
        'ZT-490-TRUNCATED',
        'the node holds a larger head of the log of the hub than there is',
        {
          details: { held: oldSize, size },
        },
      )
    return oldSize === 0 ? [] : this.#parts.log.proveConsistency(oldSize, size).map(encodeBase64url)
  }
}

function openHead(request: AnchorRequest, node: NodeRecord): Checkpoint {
  if (node.log === undefined) throw new ZtError('ZT-490-SIGNATURE', 'the node has registered no log')
  return openCheckpoint(request.checkpoint, node.log.origin, [parseVkey(node.log.vkey)])
}

function requireExtends(held: AnchoredHead, head: Checkpoint, proof: readonly string[]): void {
  if (head.size < held.size)
    throw new ZtError('ZT-490-TRUNCATED', 'the log is shorter than the head that is held', {
      details: { held: held.size, size: head.size },
    })
  verifyConsistency({
    oldSize: held.size,
    oldRoot: decodeBase64url(held.root, 'root'),
    size: head.size,
    root: head.root,
    proof: proof.map((hash) => decodeBase64url(hash, 'proof')),
  })
}

function otherHead(size: number): ZtError {
  return new ZtError('ZT-409-ANCHOR', 'another head of this log is held', { details: { size } })
}

// The note itself is evidence, unless it is so long that its row would not fit.
function noteOf(note: string): { readonly note: string } | { readonly note_sha256: string } {
  return note.length <= MAX_NOTE_IN_ROW ? { note } : { note_sha256: sha256Text(note) }
}
