// A node's log in a folder of its own.
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { join } from 'node:path'
import { openNodeLog, type NodeLog } from '#node-agent/audit/node-log.ts'
import { parseRow, type RowBody } from '#shared/log/row.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { tempDir } from './temp-dir.ts'

export const LOG_ORIGIN = 'mesh.example/log/node/mac-mini/e1'

export interface OpenLog {
  readonly log: NodeLog
  readonly clock: ManualClock
  readonly dir: string
  readonly key: KeyObject
  /** closes it, and opens the same file again, as a later start does */
  readonly reopen: () => Promise<NodeLog>
}

export async function openTestLog(
  test: { after(action: () => Promise<void>): void },
  clock: ManualClock = new ManualClock(Date.UTC(2026, 10, 22, 12)),
): Promise<OpenLog> {
  const dir = await tempDir(test)
  const key = generateKeyPairSync('ed25519').privateKey
  const open = (ifMissing: 'create' | 'refuse'): NodeLog =>
    openNodeLog({ file: join(dir, 'audit.db'), origin: LOG_ORIGIN, key, clock, boot: 'boot-1', ifMissing })
  let current = open('create')
  test.after(() => current.close())
  return {
    log: current,
    clock,
    dir,
    key,
    async reopen() {
      await current.close()
      current = open('refuse')
      return current
    },
  }
}

export function rowsOf(log: NodeLog): RowBody[] {
  return [...log.durable.rows()].map(({ body }) => parseRow(body))
}

export function typesOf(log: NodeLog): string[] {
  return rowsOf(log).map(({ type }) => type)
}
