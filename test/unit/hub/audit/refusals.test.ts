// Refusals are rows, and no number of them fills the disk.
import assert from 'node:assert/strict'
import { beforeEach, describe, it } from 'node:test'
import { Refusals } from '#hub/audit/refusals.ts'
import { ZtError } from '#shared/errors/error.ts'
import { silentLogger } from '#shared/host/logger.ts'
import { ManualClock } from '#test/fakes/manual-clock.ts'
import { RowLog } from '#test/fakes/row-log.ts'

describe('refusals', () => {
  let clock: ManualClock
  let rows: RowLog
  let refusals: Refusals
  beforeEach(() => {
    clock = new ManualClock()
    rows = new RowLog()
    refusals = new Refusals({ rows, clock, log: silentLogger })
  })
  const refuse = (count = 1): Promise<unknown> =>
    Promise.all(
      Array.from({ length: count }, () =>
        refusals.record({ type: 'token.refused' }, new ZtError('ZT-403-POLICY', 'no', { details: { a: 1 } })),
      ),
    )

  it('are rows with their code and details', async () => {
    await refuse()
    assert.deepEqual(rows.rows, [
      { type: 'token.refused', out: 'deny', code: 'ZT-403-POLICY', obj: { details: { a: 1 } } },
    ])
  })

  it('are written once for an error that is met twice', async () => {
    const error = new ZtError('ZT-403-POLICY', 'no')
    await refusals.record({ type: 'token.refused' }, error)
    await refusals.record({ type: 'cmd.rejected' }, error)
    assert.deepEqual(rows.types, ['token.refused'])
  })

  it('beyond a rate are counted in one row', async () => {
    await refuse(1000)
    assert.equal(rows.rows.length, 100)
    clock.advance(10_000)
    await Promise.resolve()
    const last = rows.rows.at(-1)
    assert.deepEqual(
      [last?.type, last?.obj],
      ['flood.aggregated', { counts: { 'token.refused ZT-403-POLICY': 900 } }],
    )
  })

  it('are single rows again when the flood is over', async () => {
    await refuse(1000)
    clock.advance(20_000)
    await refuse(5)
    assert.equal(rows.types.filter((type) => type === 'token.refused').length, 105)
  })

  it('of too many kinds are counted as others', async () => {
    await refuse(100)
    for (let i = 0; i < 150; i += 1) {
      const type = `kind.${i}` as 'token.refused'
      await refusals.record({ type }, new ZtError('ZT-403-POLICY', 'no'))
    }
    await refusals.flush()
    const counts = (rows.rows.at(-1)?.obj?.['counts'] ?? {}) as Record<string, number>
    assert.equal(Object.keys(counts).length, 101)
    assert.equal(counts['other'], 50)
  })

  it('stay refused when their row cannot be written', async () => {
    rows.full = true
    await refuse()
    assert.deepEqual(rows.rows, [])
  })

  it('are not lost when the hub ends', async () => {
    await refuse(150)
    await refusals.flush()
    assert.equal(rows.types.at(-1), 'flood.aggregated')
  })
})
