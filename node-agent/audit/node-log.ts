// The node's evidence and what it must never forget, in one file and one transaction: the audit log, what was consumed,
// what is under way. Everything that the node does goes through append(): no row, no action.
import type { KeyObject } from 'node:crypto'

import type { Clock } from '#shared/host/clock.ts'
import { openDurableLog, type DurableLog, type RowReceipt } from '#shared/host/durable-log.ts'
import { createNoteSigner } from '#shared/log/note.ts'
import type { RowDraft } from '#shared/log/row.ts'
import { CommandTable } from './command-table.ts'
import { ConsumedStore } from './consumed.ts'
import { Marks } from './marks.ts'
import { beginMemory } from './memory-start.ts'
import { PrivatePayloads } from './private-payload.ts'
import { ProcessTable } from './process-table.ts'

export interface NodeLogOptions {
  readonly file: string
  readonly origin: string
  readonly key: KeyObject
  readonly clock: Clock
  readonly boot: string
  /**
   * `create`: the node joins now, and nothing was ever accepted. `refuse`: a node that has joined has a log; if it is
   * gone, so is the memory of what was consumed, and the node does not run.
   */
  readonly ifMissing: 'create' | 'refuse'
}

/** Newest verified head of the hub's log. */
export interface HubHead {
  readonly size: number
  /** base64url */
  readonly root: string
}

export class NodeLog {
  readonly durable: DurableLog
  readonly vkey: string
  readonly marks: Marks
  readonly consumed: ConsumedStore
  readonly commands: CommandTable
  readonly processes: ProcessTable
  readonly payloads: PrivatePayloads
  readonly #clock: Clock
  #hubHead: HubHead | undefined

  constructor(durable: DurableLog, vkey: string, clock: Clock) {
    this.durable = durable
    this.vkey = vkey
    this.#clock = clock
    const { database } = durable
    this.marks = new Marks(database)
    this.consumed = new ConsumedStore(database)
    this.commands = new CommandTable(database)
    this.processes = new ProcessTable(database)
    this.payloads = new PrivatePayloads(database)
  }

  /** Rows from now on carry this head: they were written after it existed. */
  seeHubHead(head: HubHead): void {
    this.#hubHead = head
  }

  /**
   * Appends a row; what `also` writes to the node's tables happens with it or not at all. Errors: ZT-503-AUDIT if it
   * could not be written, and whatever `also` throws.
   */
  append(draft: RowDraft, also?: () => void): Promise<RowReceipt> {
    const stamped = this.#hubHead === undefined ? draft : { ...draft, hubcp: this.#hubHead }
    return this.durable.append(stamped, () => {
      also?.()
      this.marks.raise('clock', this.#clock.now())
    })
  }

  /** Drops what can no longer be let in, and processes that ended long ago. */
  prune(): void {
    // Never ahead of the recorded time: see ConsumedStore.prune().
    this.consumed.prune(Math.min(this.#clock.now(), this.marks.value('clock') ?? 0))
    this.processes.prune()
  }

  close(): Promise<void> {
    return this.durable.close()
  }
}

/** Errors: those of openDurableLog(). */
export function openNodeLog(options: NodeLogOptions): NodeLog {
  const { file, origin, key, clock, boot, ifMissing } = options
  const signer = createNoteSigner(origin, key)
  const durable = openDurableLog({ file, origin, signer, clock, boot, ifMissing })
  const log = new NodeLog(durable, signer.vkey, clock)
  beginMemory(log.marks, { nowMs: clock.now(), beforeFirstIdentity: ifMissing === 'create' })
  return log
}
