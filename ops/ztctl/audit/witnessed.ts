// What a hub's log says of the nodes' logs: which key each was registered with, and which heads were anchored. It is
// read from rows that have been verified, so the hub cannot say one thing to us and another to its log.
import { decodeBase64url } from '#shared/encoding/base64url.ts'
import type { TreeHead } from '#shared/log/checkpoint.ts'
import { HASH_BYTES } from '#shared/log/hash.ts'
import { parseVkey } from '#shared/log/note.ts'
import type { RowBody } from '#shared/log/row.ts'
import { ZtError } from '#shared/errors/error.ts'

export interface WitnessedHead extends TreeHead {
  /** when it was anchored, by the hub's clock, UTC milliseconds */
  readonly at?: number
}

export interface WitnessedLog {
  readonly node: string
  readonly origin: string
  readonly vkey: string
  /** when the hub registered it, UTC milliseconds */
  readonly registeredAt?: number
  readonly anchors: readonly WitnessedHead[]
  /** when the newest anchor was taken, by the hub's clock, UTC milliseconds */
  readonly anchoredAt?: number
}

interface Found {
  readonly node: string
  readonly origin: string
  readonly vkey: string
  readonly registeredAt?: number
  readonly anchors: WitnessedHead[]
  anchoredAt: number | undefined
}

export class Witnessed {
  readonly #logs = new Map<string, Found>()

  /** Takes a verified row of the hub's log. ZT-490-ANCHOR when it contradicts the ones before. */
  take(row: RowBody): void {
    if (row.type === 'node.joined' || row.type === 'node.attested') this.#register(row)
    else if (row.type === 'anchor.received') this.#anchor(row)
  }

  /** The newest log that a node registered, or undefined. */
  ofNode(node: string): WitnessedLog | undefined {
    return [...this.#logs.values()].findLast((log) => log.node === node) as WitnessedLog | undefined
  }

  /** The logs that a node registered before its newest one, oldest first: it began another when it joined anew. */
  earlierOf(node: string): readonly WitnessedLog[] {
    const logs = [...this.#logs.values()].filter((log) => log.node === node)
    return logs.slice(0, -1) as readonly WitnessedLog[]
  }

  /** The log of that origin, or undefined. */
  ofOrigin(origin: string): WitnessedLog | undefined {
    return this.#logs.get(origin) as WitnessedLog | undefined
  }

  #register(row: RowBody): void {
    const { node, log: origin, vkey } = row.obj ?? {}
    if (typeof node !== 'string' || typeof origin !== 'string' || typeof vkey !== 'string') return
    if (parseVkey(vkey).name !== origin) throw contradiction(row, 'registers a key of another log')
    const known = this.#logs.get(origin)
    if (known === undefined)
      this.#logs.set(origin, {
        node,
        origin,
        vkey,
        ...(row.ts !== undefined && { registeredAt: row.ts }),
        anchors: [],
        anchoredAt: undefined,
      })
    else if (known.node !== node || known.vkey !== vkey)
      throw contradiction(row, 'registers another key for a known log')
  }

  #anchor(row: RowBody): void {
    const { origin, size, root, hub_ts: at } = row.obj ?? {}
    if (typeof origin !== 'string' || typeof root !== 'string' || !Number.isSafeInteger(size)) {
      throw contradiction(row, 'is an anchor without a head')
    }
    const log = this.#logs.get(origin)
    if (log === undefined) throw contradiction(row, 'anchors a log that was never registered')
    const bytes = decodeBase64url(root, 'root')
    if (bytes.length !== HASH_BYTES) throw contradiction(row, 'is an anchor without a root')
    log.anchors.push({ size: Number(size), root: bytes, ...(typeof at === 'number' && { at }) })
    if (typeof at === 'number') log.anchoredAt = at
  }
}

function contradiction(row: RowBody, what: string): ZtError {
  return new ZtError('ZT-490-ANCHOR', `row ${row.seq} of the hub's log ${what}`, {
    details: { seq: row.seq },
  })
}
