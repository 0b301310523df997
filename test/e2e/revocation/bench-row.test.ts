// The row of the bench that says how fast a revocation is felt: few nodes and one round, to know that it measures at all.
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { revocation } from '#ops/bench/rows/revocation.ts'
import { needsNats } from '#test/support/nats.ts'

it('times every node, and the connection of the revoked one', { skip: needsNats }, async () => {
  const rows = await revocation({ nodes: 4, warmUp: 0, rounds: 1 })
  assert.deepEqual(
    rows.map(({ ours }) => ours.n),
    [4, 1, 1],
  )
  for (const { ours } of rows) assert.ok(ours.median > 0)
})
