// A log that keeps its rows in memory, and can be told that its disk is full.
import { ZtError } from '#shared/errors/error.ts'
import type { RowDraft } from '#shared/log/row.ts'
import type { RowWriter, WrittenRow } from '#hub/audit/rows.ts'

export class RowLog implements RowWriter {
  readonly rows: RowDraft[] = []
  full = false
  /** runs while a row is being written, before it is acknowledged */
  during: (() => void | Promise<void>) | undefined

  async append(draft: RowDraft): Promise<WrittenRow> {
    if (this.full) throw new ZtError('ZT-503-AUDIT', 'the disk is full')
    this.rows.push(draft)
    await this.during?.()
    return { log: 'mesh.example/log/hub/h1/e1', seq: this.rows.length - 1, hash: 'x', checkpoint: 'note' }
  }

  /** Types of the rows, in order. */
  get types(): string[] {
    return this.rows.map((row) => row.type)
  }
}

/** Writes nothing, for what is not about rows. */
export function noRow(): Promise<WrittenRow> {
  return new RowLog().append({ type: 'heartbeat', out: 'info' })
}
