import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { RecordedState } from '#node-agent/audit/process-table.ts'
import type { KeptState } from '#node-agent/keeper/record.ts'
import { reconcile } from '#node-agent/processes/reconcile.ts'
import { procRecord } from '#test/fakes/fake-keeper.ts'
import { randomProc } from '#test/support/keeper.ts'

const KEPT: readonly (KeptState | undefined)[] = [
  undefined,
  'starting',
  'running',
  'exited',
  'failed',
  'lost',
]

// What the log says, and for each of KEPT what is then to be written.
const TABLE: Readonly<Record<RecordedState, readonly string[]>> = {
  accepted: ['unknown', 'nothing', 'started', 'started+exited', 'failed', 'unknown'],
  running: ['unknown', 'nothing', 'nothing', 'exited', 'unknown', 'unknown'],
  exited: ['nothing', 'nothing', 'nothing', 'nothing', 'nothing', 'nothing'],
  failed: ['nothing', 'nothing', 'nothing', 'nothing', 'nothing', 'nothing'],
  lost: ['nothing', 'nothing', 'nothing', 'nothing', 'nothing', 'nothing'],
}

describe('what is written about a process after a crash', () => {
  for (const [state, expected] of Object.entries(TABLE) as [RecordedState, readonly string[]][]) {
    it(`that the log has as ${state}`, () => {
      const found = KEPT.map((kept) => {
        const record = kept === undefined ? undefined : procRecord(randomProc(), { state: kept })
        const finding = reconcile({ state }, record)
        return finding.kind === 'exited' && finding.started ? 'started+exited' : finding.kind
      })
      assert.deepEqual(found, expected)
    })
  }
})
